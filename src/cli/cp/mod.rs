//! `wl cp`: files into a container and out of it, as a tar archive through a command there.
//! Source: k8s.io/kubectl/pkg/cmd/cp/cp.go.

mod pack;
mod remote;
mod spec;
mod unpack;

use super::session::pod;
use super::{CliError, CliResult, Context, Exit};
use crate::client::Client;
use remote::Container;
use spec::Place;

/// Copy files to and from containers
#[derive(clap::Args)]
pub struct Cp {
    #[arg(value_name = "FROM TO")]
    args: Vec<String>,
    /// Which container
    #[arg(short, long, default_value = "", hide_default_value = true, add = super::complete::containers())]
    container: String,
    /// Do not keep owners and permissions in the container
    #[arg(long)]
    no_preserve: bool,
    /// So often a copy from a container is gone on with when it breaks off (negative: for ever)
    #[arg(long, default_value_t = 0, value_parser = super::flags::integer, hide_default_value = true)]
    retries: i64,
}

impl Cp {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let [from, to] = self.args.as_slice() else {
            return Err(CliError::message("source and destination are required"));
        };
        let (from, to) = (Place::parse(from)?, Place::parse(to)?);
        if from.path().is_empty() || to.path().is_empty() {
            let both = matches!((&from, &to), (Place::Pod { .. }, Place::Pod { .. }));
            return Err(CliError::message(if both { BOTH_REMOTE } else { "filepath can not be empty" }));
        }
        match (from, to) {
            (Place::Pod { .. }, Place::Pod { .. }) => Err(CliError::message(BOTH_REMOTE)),
            (Place::Local(_), Place::Local(_)) => {
                Err(CliError::message("one of src or dest must be a remote file specification"))
            }
            (Place::Pod { namespace, pod, path }, Place::Local(to)) => {
                let client = ctx.client().await?;
                let container = self.container(ctx, &client, &namespace, &pod).await?;
                remote::copy_out(ctx, &client, &container, &path, &to, self.retries).await
            }
            (Place::Local(from), Place::Pod { namespace, pod, path }) => {
                if std::fs::metadata(ctx.path(&from)).is_err() {
                    return Err(CliError::message(format!("{from} doesn't exist in local filesystem")));
                }
                let client = ctx.client().await?;
                let container = self.container(ctx, &client, &namespace, &pod).await?;
                remote::copy_in(ctx, &client, &container, &from, &path, self.no_preserve).await
            }
        }
    }

    async fn container(&self, ctx: &mut Context, client: &Client, namespace: &str, name: &str) -> Result<Container, CliError> {
        super::resources::check_path_segment(name)?;
        let namespace = if namespace.is_empty() { ctx.namespace().to_owned() } else { namespace.to_owned() };
        super::resources::check_path_segment(&namespace)?;
        let path = format!(
            "/api/v1/namespaces/{}/pods/{}",
            crate::client::segment(&namespace),
            crate::client::segment(name)
        );
        let pod = crate::api::Object::new(client.get(&path).await?);
        pod::refuse_ended(&pod, "exec into")?;
        let container = pod::container(ctx, &pod, &self.container, false)?;
        let container = container["name"].as_str().unwrap_or("").to_owned();
        Ok(Container { pod, container })
    }
}

const BOTH_REMOTE: &str = "one of src or dest must be a local file specification";

/// The exit code of a command in the container, where that is the end of the copy.
fn ends(ctx: &mut Context, code: i32) -> CliResult {
    if code == 0 {
        return Ok(Exit::Success);
    }
    if code == 127 {
        ctx.err.line("error: the container has no tar: see `wl debug` for one that sees its files");
    }
    super::session::report(ctx, &super::session::Ended::Code(code))
}
