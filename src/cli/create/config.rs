//! `wl create namespace|serviceaccount`.

use serde_json::json;

use super::making::Making;
use crate::cli::{CliError, CliResult, Context};

/// Create a Namespace
#[derive(clap::Args)]
pub struct Namespace {
    #[command(flatten)]
    making: Making,
}

impl Namespace {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let name = self.making.name()?;
        self.making.check(ctx)?;
        not_empty(name)?;
        let tree = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        self.making.make(ctx, "namespaces", tree, "").await
    }
}

/// Create a ServiceAccount
#[derive(clap::Args)]
pub struct ServiceAccount {
    #[command(flatten)]
    making: Making,
}

impl ServiceAccount {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let name = self.making.name()?;
        self.making.check(ctx)?;
        not_empty(name)?;
        let tree = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": self.making.metadata(ctx, name)});
        self.making.make(ctx, "serviceaccounts", tree, "failed to create serviceaccount:").await
    }
}

/// An empty name is given, but is none.
pub fn not_empty(name: &str) -> Result<(), CliError> {
    if name.is_empty() { Err(CliError::message("name must be specified")) } else { Ok(()) }
}
