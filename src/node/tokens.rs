//! Tokens of service accounts that a pod's volumes need; the engine asks the API for them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;

/// One token that a projected volume of the pod asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenNeed {
    /// Empty: the API server's own.
    pub audience: String,
    pub expiration_seconds: i64,
}

/// The tokens at hand.
pub type Tokens = BTreeMap<TokenNeed, String>;

/// What the pod's volumes need, each once.
pub fn tokens_needed(pod: &Pod) -> Vec<TokenNeed> {
    let volumes = pod.spec.as_ref().and_then(|s| s.volumes.as_deref()).unwrap_or_default();
    let sources = volumes.iter().filter_map(|v| v.projected.as_ref()?.sources.as_deref()).flatten();
    let mut needs: Vec<TokenNeed> = sources
        .filter_map(|s| s.service_account_token.as_ref())
        .map(|t| need(t.audience.as_deref(), t.expiration_seconds))
        .collect();
    needs.sort();
    needs.dedup();
    needs
}

/// An hour is the API's default.
pub(super) fn need(audience: Option<&str>, expiration_seconds: Option<i64>) -> TokenNeed {
    TokenNeed {
        audience: audience.unwrap_or_default().to_owned(),
        expiration_seconds: expiration_seconds.unwrap_or(3600),
    }
}
