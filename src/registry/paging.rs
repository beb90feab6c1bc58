//! Lists in pages: how one page is cut, and the token that the next one goes on from.
//! Source: k8s.io/apiserver/pkg/storage/continue.go.

use std::sync::Arc;

use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, Engine, GeneralPurpose, GeneralPurposeConfig};
use serde_json::json;

use super::text;
use crate::api::{Json, Object, Status, status::quote};

/// As Go's RawURLEncoding, which does not mind the bits that are left over.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// Where a continued list goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Continue {
    /// -1: from whatever is there now.
    pub revision: i64,
    /// The key after which it goes on.
    pub start: String,
}

impl Continue {
    pub fn parse(token: &str) -> Result<Self, Status> {
        let bad = |why: String| Status::bad_request(format!("invalid continue token: continue key is not valid: {why}"));
        let bytes = BASE64.decode(token).map_err(|e| bad(base64_error(&e)))?;
        let tree = text::read_json(&bytes).map_err(bad)?.tree;
        let part = |key: &str| tree.get(key);
        let version = part("v").and_then(Json::as_str).unwrap_or("");
        if version != "meta.k8s.io/v1" {
            let why = format!("server does not recognize this encoded version {}", quote(version));
            return Err(bad(why));
        }
        let revision = part("rv").and_then(Json::as_i64).unwrap_or(0);
        if revision == 0 {
            return Err(bad("incorrect encoded start resourceVersion (version meta.k8s.io/v1)".into()));
        }
        let start = part("start").and_then(Json::as_str).unwrap_or("");
        if start.is_empty() {
            return Err(bad("encoded start key empty (version meta.k8s.io/v1)".into()));
        }
        if start.split('/').any(|segment| segment == "..") {
            return Err(bad(start.to_owned()));
        }
        Ok(Continue { revision, start: start.to_owned() })
    }

    pub fn show(&self) -> String {
        let tree = json!({"v": "meta.k8s.io/v1", "rv": self.revision, "start": self.start});
        BASE64.encode(tree.to_string())
    }

    /// Whether an object's place is still to come.
    pub fn is_before(&self, place: &str) -> bool {
        // The key in a token ends with NUL: the first one after that name.
        place > self.start.trim_end_matches('\0')
    }
}

fn base64_error(error: &base64::DecodeError) -> String {
    let at = match error {
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => *at,
        base64::DecodeError::InvalidLength(at) => *at,
        base64::DecodeError::InvalidPadding => 0,
    };
    format!("illegal base64 data at input byte {at}")
}

/// An object's place in a list, as etcd's keys order it.
pub fn place(object: &Object, namespaced: bool) -> String {
    if namespaced { format!("{}/{}", object.namespace(), object.name()) } else { object.name().to_owned() }
}

/// Of what a page is cut.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// 0: no limit.
    pub limit: usize,
    /// Of the whole list.
    pub revision: u64,
    pub all_namespaces: bool,
    /// Whether the list leaves objects out.
    pub selects: bool,
}

/// Cuts `found` to its first page and notes in the list's `metadata` where it goes on. How many are left is said
/// only where nothing is selected.
pub fn cut(found: &mut Vec<&Arc<Object>>, page: &Page, metadata: &mut Json) {
    let limit = page.limit;
    if found.len() <= limit || limit == 0 {
        return;
    }
    let revision = i64::try_from(page.revision).unwrap_or(i64::MAX);
    let next = Continue { revision, start: format!("{}\0", place(found[limit - 1], page.all_namespaces)) };
    metadata["continue"] = next.show().into();
    if !page.selects {
        metadata["remainingItemCount"] = (found.len() - limit).into();
    }
    found.truncate(limit);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back() {
        let token = Continue { revision: 7, start: "default/a\0".into() };
        assert_eq!(Continue::parse(&token.show()), Ok(token.clone()));
        assert!(token.is_before("default/b") && token.is_before("default/aa"));
        assert!(!token.is_before("default/a") && !token.is_before("a/z"));
    }

    #[test]
    fn a_token_that_climbs_is_refused() {
        let token = Continue { revision: 7, start: "../secrets/a\0".into() };
        assert!(Continue::parse(&token.show()).is_err());
    }
}
