//! Manifests from the web. Source of the words: k8s.io/cli-runtime/pkg/resource/visitor.go (`readHttpWithRetries`).

use bytes::Bytes;
use http::{StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use crate::api::status::quote;

/// As browsers and Go's client.
const MOST_REDIRECTS: usize = 10;
const LONGEST: std::time::Duration = std::time::Duration::from_secs(60);

/// Why nothing could be read from a URL.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    #[error("the URL passed to filename {} is not valid", quote(.0))]
    Invalid(String),
    #[error("unable to read URL {}: {why}", quote(url))]
    Unread { url: String, why: String },
    #[error("unable to read URL {}, server reported {status}, status code={}", quote(url), status.as_u16())]
    Refused { url: String, status: StatusCode },
}

/// Whether a name of a file is one of these.
pub fn is_url(name: &str) -> bool {
    name.starts_with("http://") || name.starts_with("https://")
}

/// The bytes behind a URL, at most as many as a manifest may have; redirects are followed.
pub async fn get(url: &str) -> Result<Vec<u8>, UrlError> {
    let whole = tokio::time::timeout(LONGEST, follow(url));
    let late = |_| UrlError::Unread { url: url.to_owned(), why: "no answer in time".into() };
    whole.await.map_err(late)?
}

async fn follow(url: &str) -> Result<Vec<u8>, UrlError> {
    let fail = |why: String| UrlError::Unread { url: url.to_owned(), why };
    let tls = hyper_rustls::HttpsConnectorBuilder::new().with_native_roots().map_err(|e| fail(e.to_string()))?;
    let client: Client<_, Empty<Bytes>> =
        Client::builder(TokioExecutor::new()).build(tls.https_or_http().enable_http1().build());
    let mut at: Uri = url.parse().map_err(|_| UrlError::Invalid(url.to_owned()))?;
    for _ in 0..=MOST_REDIRECTS {
        let response = client.get(at.clone()).await.map_err(|e| fail(chain(&e)))?;
        let status = response.status();
        if status.is_redirection() {
            let to = response.headers().get(header::LOCATION).and_then(|l| l.to_str().ok());
            at = redirect(&at, to.ok_or_else(|| fail("a redirect to nowhere".into()))?).ok_or_else(|| fail("a redirect to no URL".into()))?;
            continue;
        }
        if status != StatusCode::OK {
            return Err(UrlError::Refused { url: url.to_owned(), status });
        }
        let body = Limited::new(response.into_body(), crate::manifest::MAX_BYTES).collect().await;
        return Ok(body.map_err(|e| fail(e.to_string()))?.to_bytes().to_vec());
    }
    Err(fail(format!("stopped after {MOST_REDIRECTS} redirects")))
}

/// Where a redirect leads, seen from `from`.
fn redirect(from: &Uri, to: &str) -> Option<Uri> {
    if to.contains("://") {
        return to.parse().ok();
    }
    let mut parts = from.clone().into_parts();
    let path = if to.starts_with('/') {
        to.to_owned()
    } else {
        let base = from.path().rsplit_once('/').map_or("", |(base, _)| base);
        format!("{base}/{to}")
    };
    parts.path_and_query = Some(path.parse().ok()?);
    Uri::from_parts(parts).ok()
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_seen_from_where_they_come() {
        let from: Uri = "https://a.example/x/y.yaml?z".parse().unwrap();
        for (to, expected) in [
            ("https://b.example/q", "https://b.example/q"),
            ("/q", "https://a.example/q"),
            ("q.yaml", "https://a.example/x/q.yaml"),
        ] {
            assert_eq!(redirect(&from, to).unwrap().to_string(), expected);
        }
    }
}
