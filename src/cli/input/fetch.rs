//! `-f https://…`: one GET, redirects followed, bounded.

use std::time::Duration;

use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use crate::cli::CliError;
use crate::manifest::MAX_BYTES;

const MAX_REDIRECTS: usize = 10;
const TIMEOUT: Duration = Duration::from_secs(60);

/// The bytes at a URL.
pub async fn fetch(url: &str) -> Result<Vec<u8>, CliError> {
    match tokio::time::timeout(TIMEOUT, follow(url)).await {
        Ok(result) => result,
        Err(_) => Err(CliError::message(format!("unable to read URL {url:?}: no answer within {} s", TIMEOUT.as_secs()))),
    }
}

async fn follow(first: &str) -> Result<Vec<u8>, CliError> {
    let failed = |why: String| CliError::message(format!("unable to read URL {first:?}: {why}"));
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
        .map_err(|e| failed(format!("no certificates of authorities can be read: {e}")))?
        .https_or_http()
        .enable_http1()
        .build();
    let client: Client<_, Empty<bytes::Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let mut url = url::Url::parse(first).map_err(|e| failed(e.to_string()))?;
    for _ in 0..=MAX_REDIRECTS {
        let request = Request::get(url.as_str())
            .header(header::USER_AGENT, concat!("wl/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .map_err(|e| failed(e.to_string()))?;
        let response = client.request(request).await.map_err(|e| failed(sources(&e)))?;
        let location = response.headers().get(header::LOCATION).and_then(|l| l.to_str().ok());
        if let (true, Some(location)) = (response.status().is_redirection(), location) {
            let next = url.join(location).map_err(|e| failed(e.to_string()))?;
            if url.scheme() == "https" && next.scheme() != "https" {
                return Err(failed(format!("it redirects from https to {next}")));
            }
            url = next;
            continue;
        }
        if response.status() != StatusCode::OK {
            return Err(failed(format!("server reported {}", response.status())));
        }
        let body = Limited::new(response.into_body(), MAX_BYTES).collect().await;
        return body.map(|b| b.to_bytes().to_vec()).map_err(|e| failed(e.to_string()));
    }
    Err(failed(format!("more than {MAX_REDIRECTS} redirects")))
}

fn sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}
