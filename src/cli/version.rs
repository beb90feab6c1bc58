//! `wl version`: which `wl`, which Kubernetes, and what the running server is.

use serde_json::json;

use super::{CliError, CliResult, Context, Exit};
use crate::api::Json;
use crate::client::Client;

/// The Kubernetes release whose API this is (k8s-openapi's `v1_36`; kubectl's recorded sessions).
const KUBERNETES: &str = "v1.36.2";

/// Print the versions of the client and of the server
#[derive(clap::Args)]
pub struct Version {
    /// Only the client's version; asks no server
    #[arg(long)]
    client: bool,
    /// `json` or `yaml`
    #[arg(short, long, default_value = "", hide_default_value = true)]
    output: String,
}

impl Version {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        if !matches!(self.output.as_str(), "" | "json" | "yaml") {
            return Err(CliError::message("--output must be 'yaml' or 'json'"));
        }
        let mut answer = json!({"clientVersion": client_version()});
        let server = if self.client { None } else { server_version(ctx).await? };
        if let Some(server) = server {
            answer["serverVersion"] = server;
        }
        match self.output.as_str() {
            "json" => ctx.out.line(&crate::api::go::json::pretty(&answer, "  ")),
            "yaml" => ctx.out.text(&super::print::yaml::to_yaml(&answer)),
            _ => {
                ctx.out.line(&format!("Client Version: {KUBERNETES} (wl {})", env!("CARGO_PKG_VERSION")));
                if let Some(version) = answer.pointer("/serverVersion/gitVersion").and_then(Json::as_str) {
                    ctx.out.line(&format!("Server Version: {version}"));
                }
            }
        }
        Ok(Exit::Success)
    }
}

/// The running server's version; `None` where no server runs, which is no error.
async fn server_version(ctx: &mut Context) -> Result<Option<Json>, CliError> {
    let socket = ctx.state_dir().join("api.sock");
    let client: Client = match ctx.running_client() {
        Some(client) => client,
        None if socket.exists() => Client::unix(socket),
        None => return Ok(None),
    };
    match client.get("/version").await {
        Ok(version) => Ok(Some(version)),
        Err(crate::client::ClientError::Connect(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn client_version() -> Json {
    let (major, minor) = ("1", "36");
    json!({
        "major": major, "minor": minor, "gitVersion": KUBERNETES, "wlVersion": env!("CARGO_PKG_VERSION"),
        "platform": format!("{}/{}", std::env::consts::OS, crate::apiserver::architecture()),
    })
}
