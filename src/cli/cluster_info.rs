//! `wl cluster-info`: where the API server is. Source: k8s.io/kubectl/pkg/cmd/clusterinfo/clusterinfo.go.

use super::{CliResult, Context, Exit};
use crate::client::{Client, ClientError};

/// Say where the API server is
#[derive(clap::Args)]
pub struct ClusterInfo {}

impl ClusterInfo {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let socket = ctx.state_dir().join("api.sock");
        let client = ctx.running_client().or_else(|| socket.exists().then(|| Client::unix(&socket)));
        let answers = match client {
            Some(client) => !matches!(client.get("/version").await, Err(ClientError::Connect(_))),
            None => false,
        };
        if answers {
            ctx.out.line(&format!("Kubernetes control plane is running at unix://{}", socket.display()));
            ctx.out.line("\nTo look for trouble on this machine, use 'wl doctor'.");
        } else {
            ctx.out.line(&format!("No watch is running; it would listen at unix://{}", socket.display()));
            ctx.out.line("\nTo start one, use 'wl watch --background'.");
        }
        Ok(Exit::Success)
    }
}
