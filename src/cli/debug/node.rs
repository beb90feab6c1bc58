//! A pod in the machine's own namespaces.

use serde_json::json;

use super::super::resources::Info;
use super::super::{CliError, Context, Exit};
use super::profile::{Keep, Style};
use super::{Made, Plan, suffix};
use crate::api::Object;
use crate::client::{Ask, Client, segment};

impl Plan<'_> {
    pub(super) async fn on_node(&self, ctx: &mut Context, client: &Client, info: &Info) -> Result<Made, CliError> {
        let flags = self.flags;
        if !flags.yes && !agreed(ctx, &info.name)? {
            ctx.err.line("Nothing was made.");
            return Err(CliError::Silent(Exit::Failure));
        }
        let name = if flags.container.is_empty() { "debugger" } else { flags.container.as_str() };
        let pod = format!("node-debugger-{}-{}", info.name, suffix());
        if !flags.quiet {
            ctx.out.line(&format!("Creating debugging pod {pod} with container {name} on node {}.", info.name));
        }
        let namespace = ctx.namespace().to_owned();
        let mut body = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": pod, "namespace": namespace, "labels": {"app.kubernetes.io/managed-by": "kubectl-debug"}},
            "spec": {
                "containers": [self.container(name)], "nodeName": info.name, "restartPolicy": "Never",
                "tolerations": [{"operator": "Exists"}],
            },
        });
        self.profile.apply(&mut body, "/spec/containers/0", Style::Node, Keep::default());
        self.customise(&mut body["spec"]["containers"][0])?;
        let path = format!("/api/v1/namespaces/{}/pods", segment(&namespace));
        let response = client.send(Ask::new(http::Method::POST, path).json(&body)).await?;
        ctx.warn_all(&response.warnings);
        Ok(Made { pod: Object::new(response.json()?), container: name.to_owned() })
    }
}

/// Asks whoever sits at the terminal.
fn agreed(ctx: &mut Context, node: &str) -> Result<bool, CliError> {
    ctx.err.line(&format!("This starts a pod that shares the namespaces of the machine {node} and may see all of its files."));
    if !ctx.stdin_is_terminal {
        return Err(CliError::message("nobody can be asked here: say --yes"));
    }
    ctx.err.raw(b"Go on? [y/N] ");
    ctx.err.flush();
    Ok(matches!(ctx.read_line()?.trim(), "y" | "Y" | "yes" | "Yes"))
}
