//! `/livez`, `/readyz`, `/healthz` and `/version`.

use serde_json::json;

use super::answer::Reply;
use super::negotiate::{self, Endpoint};
use super::{Call, only_get};
use crate::api::Status;

/// Answers for all checks, or for the named one.
pub(crate) fn answer(call: &Call, path: &str, name: Option<&str>, controllers: bool) -> Result<Reply, Status> {
    only_get(call)?;
    let checks: &[&str] = if controllers { &["ping", "store", "controllers"] } else { &["ping", "store"] };
    match name {
        Some(name) if !checks.contains(&name) => Ok(Reply::text(404, "404 page not found\n")),
        Some(_) => Ok(Reply::text(200, "ok")),
        None if call.query.get("verbose").is_some() => {
            let excluded = call.query.all("exclude");
            let lines: String = checks
                .iter()
                .map(|check| {
                    if excluded.iter().any(|e| e == check) {
                        format!("[+]{check} excluded: ok\n")
                    } else {
                        format!("[+]{check} ok\n")
                    }
                })
                .collect();
            Ok(Reply::text(200, format!("{lines}{path} check passed\n")))
        }
        None => Ok(Reply::text(200, "ok")),
    }
}

/// What Kubernetes this server is like, and what it is.
pub(crate) fn version(call: &Call) -> Result<Reply, Status> {
    let accepted = negotiate::accept(&call.headers, Endpoint::Plain)?;
    let body = json!({
        "major": "1", "minor": "36",
        "emulationMajor": "1", "emulationMinor": "36",
        "minCompatibilityMajor": "1", "minCompatibilityMinor": "35",
        "gitVersion": crate::api::schema::Schema::get().version,
        "gitCommit": format!("wl-{}", env!("CARGO_PKG_VERSION")),
        "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none", "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, architecture()),
    });
    Ok(Reply::tree(200, accepted.media, &body))
}

/// Go's word for this processor.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
