//! `wl config`: what a kubeconfig would say of this machine. There is one server, one user, one context.
//! Source of the words: k8s.io/kubectl/pkg/cmd/config.

use serde_json::json;

use super::print::flags::{Offer, PrintFlags};
use super::{CliError, CliResult, Context, Exit};
use crate::api::status::quote;

/// The only cluster, user and context.
const NAME: &str = "wl";

/// Show what a kubeconfig would say of this machine
#[derive(clap::Args)]
pub struct Config {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// All of it
    View(View),
    /// The name of the context
    CurrentContext,
    /// The contexts there are
    GetContexts(GetContexts),
    /// Choose a context
    UseContext(UseContext),
}

#[derive(clap::Args)]
struct View {
    #[command(flatten)]
    print: PrintFlags,
}

#[derive(clap::Args)]
struct GetContexts {
    /// `name`: only names
    #[arg(short, long, default_value = "", hide_default_value = true)]
    output: String,
    /// Without the head line
    #[arg(long)]
    no_headers: bool,
}

#[derive(clap::Args)]
struct UseContext {
    name: String,
}

impl Config {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        match &self.command {
            Command::View(view) => return view.run(ctx),
            Command::CurrentContext => ctx.out.line(NAME),
            Command::GetContexts(args) => return args.run(ctx),
            Command::UseContext(UseContext { name }) if name == NAME => {
                ctx.out.line(&format!("Switched to context {}.", quote(NAME)));
            }
            Command::UseContext(UseContext { name }) => {
                return Err(CliError::message(format!("no context exists with the name: {}", quote(name))));
            }
        }
        Ok(Exit::Success)
    }
}

impl View {
    fn run(&self, ctx: &mut Context) -> CliResult {
        let format = self.print.format(&ctx.cwd, Offer::Change)?.unwrap_or(super::print::flags::Format::Yaml);
        let server = format!("unix://{}", ctx.state_dir().join("api.sock").display());
        let tree = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": NAME, "cluster": {"server": server}}],
            "contexts": [{"name": NAME, "context": {"cluster": NAME, "namespace": ctx.namespace(), "user": NAME}}],
            "current-context": NAME,
            "users": [{"name": NAME, "user": {}}],
        });
        let (text, result) = format.render(&tree, true);
        ctx.out.text(&text);
        result?;
        Ok(Exit::Success)
    }
}

impl GetContexts {
    fn run(&self, ctx: &mut Context) -> CliResult {
        match self.output.as_str() {
            "name" => ctx.out.line(NAME),
            "" => {
                let row = |cells: [&str; 5]| cells.map(str::to_owned).to_vec();
                let heads = row(["CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"]);
                let mut rows = if self.no_headers { Vec::new() } else { vec![heads] };
                rows.push(row(["*", NAME, NAME, NAME, ctx.namespace()]));
                ctx.out.text(&super::print::table::render(&rows, super::print::table::Align::LastColumnOpen));
            }
            other => {
                return Err(CliError::message(format!(
                    "output must be one of '' or 'name', not {}", quote(other)
                )));
            }
        }
        Ok(Exit::Success)
    }
}
