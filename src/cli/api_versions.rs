//! `wl api-versions`: the groups and versions that the server serves.

use super::{CliError, CliResult, Context, Exit};

/// Print the API groups and versions of the server, as `group/version`
#[derive(clap::Args)]
pub struct ApiVersions {
    #[arg(hide = true)]
    extra: Vec<String>,
}

impl ApiVersions {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        if !self.extra.is_empty() {
            return Err(CliError::Usage(format!("unexpected arguments: [{}]", self.extra.join(" "))));
        }
        let discovery = ctx.client().await?.discovery().await?;
        let mut names: Vec<String> = discovery
            .groups
            .iter()
            .flat_map(|(group, versions)| {
                versions.iter().map(move |v| if group.is_empty() { v.clone() } else { format!("{group}/{v}") })
            })
            .collect();
        names.sort();
        for name in names {
            ctx.out.line(&name);
        }
        Ok(Exit::Success)
    }
}
