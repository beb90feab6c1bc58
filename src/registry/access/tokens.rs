//! Service account tokens: signed, and read back as the user that they stand for.
//! Source: pkg/serviceaccount/{claims,jwt,util}.go.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::AUTHENTICATED;
use crate::api::tree::Tree;
use crate::api::{GroupResource, Json, Key, Object};
use crate::registry::User;
use crate::state::State;

/// Who issues tokens, and whom they are for where nobody is named.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// The Secret with the key that tokens are signed with.
const KEY_SECRET: &str = "wl-service-account-key";
const ACCOUNTS: &str = "system:serviceaccounts";
/// How long after it was marked for deletion an account or Pod still counts (pkg/serviceaccount/claims.go).
const LEEWAY_SECONDS: i64 = 60;

/// Where the signing key is kept.
pub(crate) fn key_secret() -> Key {
    Key::new(GroupResource::new("", "secrets"), "kube-system", KEY_SECRET)
}

/// The signing key, if there is one yet.
pub(crate) fn key(state: &State) -> Option<Vec<u8>> {
    STANDARD.decode(state.get(&key_secret())?.at("/data/key")?.as_str()?).ok()
}

/// The claims as a signed token.
pub(crate) fn sign(claims: &Json, key: &[u8]) -> String {
    let part = |json: &Json| URL_SAFE_NO_PAD.encode(json.to_string());
    let text = format!("{}.{}", part(&json!({"alg": "HS256", "typ": "JWT"})), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(hmac(key, text.as_bytes()));
    format!("{text}.{signature}")
}

/// HMAC-SHA256 (RFC 2104).
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    const BLOCK: usize = 64;
    let mut block = [0u8; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let keyed = |byte: u8| block.map(|b| b ^ byte);
    let inner = Sha256::new().chain_update(keyed(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(keyed(0x5c)).chain_update(inner).finalize().into()
}

/// A token's user, and which of the wanted audiences it is for.
pub struct Known {
    pub user: User,
    pub audiences: Vec<String>,
}

/// Why a token is nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// It is no token of this server.
    Foreign,
    Expired,
    NotYet,
    Audience,
    /// Its account, Pod, Secret or Node is gone.
    Invalidated,
}

impl Unknown {
    /// As a TokenReview says it.
    pub fn text(self) -> &'static str {
        match self {
            Unknown::Foreign => "invalid bearer token",
            Unknown::Expired => "[invalid bearer token, service account token has expired]",
            Unknown::NotYet => "[invalid bearer token, service account token is not valid yet]",
            Unknown::Audience => "[invalid bearer token, token audiences do not include any of the wanted ones]",
            Unknown::Invalidated => "[invalid bearer token, service account token has been invalidated]",
        }
    }
}

/// Whose token it is. Without wanted audiences it has to be for this server.
pub fn user(state: &State, token: &str, audiences: &[String], now: Timestamp) -> Result<Known, Unknown> {
    let claims = claims(state, token).ok_or(Unknown::Foreign)?;
    if claims.text("iss") != ISSUER {
        return Err(Unknown::Foreign);
    }
    if now.as_second() >= claims.int("exp") {
        return Err(Unknown::Expired);
    }
    if now.as_second() < claims.int("nbf") {
        return Err(Unknown::NotYet);
    }
    let own = [ISSUER.to_owned()];
    let wanted = if audiences.is_empty() { &own[..] } else { audiences };
    let said = claims.texts("aud");
    let audiences: Vec<String> = wanted.iter().filter(|a| said.contains(&a.as_str())).cloned().collect();
    if audiences.is_empty() {
        return Err(Unknown::Audience);
    }
    let user = account(state, &claims, now).ok_or(Unknown::Invalidated)?;
    Ok(Known { user, audiences })
}

/// The claims of a token that this server has signed.
fn claims(state: &State, token: &str) -> Option<Json> {
    let (text, signature) = token.rsplit_once('.')?;
    let (head, body) = text.split_once('.')?;
    let head: Json = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(head).ok()?).ok()?;
    if head.text("alg") != "HS256" {
        return None;
    }
    let expected = hmac(&key(state)?, text.as_bytes());
    let found = URL_SAFE_NO_PAD.decode(signature).ok()?;
    if !equal(&expected, &found) {
        return None;
    }
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).ok()?).ok()
}

/// Takes as long whatever differs.
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// The account that the claims name, if it and what the token is bound to are still there.
fn account(state: &State, claims: &Json, now: Timestamp) -> Option<User> {
    let own = claims.field("kubernetes.io");
    let namespace = own.text("namespace");
    let get = |resource: &str, namespace: &str, claim: &Json| {
        let key = Key::new(GroupResource::new("", resource), namespace, claim.text("name"));
        let found = state.get(&key).filter(|object| object.uid() == claim.text("uid") && !is_going(object, now));
        found.cloned()
    };
    let claim = own.field("serviceaccount");
    let account = get("serviceaccounts", namespace, claim)?;
    let mut user = User {
        name: format!("system:serviceaccount:{namespace}:{}", account.name()),
        uid: account.uid().into(),
        groups: vec![ACCOUNTS.into(), format!("{ACCOUNTS}:{namespace}"), AUTHENTICATED.into()],
        ..User::default()
    };
    let mut note = |name: &str, value: &str| {
        user.extra.insert(format!("authentication.kubernetes.io/{name}"), vec![value.to_owned()]);
    };
    if !claims.text("jti").is_empty() {
        note("credential-id", &format!("JTI={}", claims.text("jti")));
    }
    if own.has("secret") {
        get("secrets", namespace, own.field("secret"))?;
    }
    let (pod, node) = (own.field("pod"), own.field("node"));
    if own.has("pod") {
        get("pods", namespace, pod)?;
        note("pod-name", pod.text("name"));
        note("pod-uid", pod.text("uid"));
    } else if own.has("node") {
        get("nodes", "", node)?;
    }
    if own.has("node") {
        note("node-name", node.text("name"));
        if !node.text("uid").is_empty() {
            note("node-uid", node.text("uid"));
        }
    }
    Some(user)
}

fn is_going(object: &Object, now: Timestamp) -> bool {
    object.deletion_timestamp().is_some_and(|at| at + jiff::SignedDuration::from_secs(LEEWAY_SECONDS) < now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_as_rfc_4231_has_it() {
        let mac = hmac(b"Jefe", b"what do ya want for nothing?");
        let hex: String = mac.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }
}
