//! `wl debug`: a container with tools beside those of a pod, a copy of a pod with something changed, or a pod with the
//! machine's own namespaces. Source: k8s.io/kubectl/pkg/cmd/debug/debug.go.

mod attach;
mod copy;
mod custom;
mod ephemeral;
mod node;
mod profile;

use serde_json::json;

use super::input::Files;
use super::resources::{Info, Selection};
use super::{CliError, CliResult, Context, Exit};
use crate::api::{Json, Object, Random, status::quote};
use crate::runtime::TOOLBOX_IMAGE;
use crate::store::SystemRandom;
use profile::Profile;

/// Debug a pod or the machine
#[derive(clap::Args)]
pub struct Debug {
    #[arg(value_name = "POD | TYPE/NAME", add = super::complete::pods())]
    args: Vec<String>,
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// What stands behind -- are arguments, not a command
    #[arg(long)]
    arguments_only: bool,
    /// Wait for the container and attach to it (as a rule with -i only)
    #[arg(long)]
    attach: Option<bool>,
    /// Name of the debug container
    #[arg(short, long, default_value = "", hide_default_value = true)]
    container: String,
    /// Make a copy of the pod under this name instead
    #[arg(long, default_value = "", hide_default_value = true)]
    copy_to: String,
    /// With --copy-to: delete the original
    #[arg(long)]
    replace: bool,
    /// Environment of the container, NAME=VALUE
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Image of the container (without one: a toolbox of this machine's own tools)
    #[arg(long, default_value = "", hide_default_value = true)]
    image: String,
    /// With --copy-to: keep the labels
    #[arg(long)]
    keep_labels: bool,
    /// With --copy-to: keep the annotations
    #[arg(long)]
    keep_annotations: bool,
    /// With --copy-to: keep the liveness probes
    #[arg(long)]
    keep_liveness: bool,
    /// With --copy-to: keep the readiness probes
    #[arg(long)]
    keep_readiness: bool,
    /// With --copy-to: keep the startup probes
    #[arg(long)]
    keep_startup: bool,
    /// With --copy-to: keep the init containers
    #[arg(long, default_value = "true")]
    keep_init_containers: bool,
    /// With --copy-to: other images, CONTAINER=IMAGE
    #[arg(long, value_name = "CONTAINER=IMAGE")]
    set_image: Vec<String>,
    /// Always, IfNotPresent or Never
    #[arg(long, default_value = "", hide_default_value = true)]
    image_pull_policy: String,
    /// Keep the container's standard input open
    #[arg(short = 'i', long)]
    stdin: bool,
    /// Say nothing but what has to be said
    #[arg(short, long)]
    quiet: bool,
    /// With --copy-to: on the same node
    #[arg(long)]
    same_node: bool,
    /// With --copy-to: share the process namespace
    #[arg(long)]
    share_processes: Option<bool>,
    /// See the processes of this container, and its volumes and environment
    #[arg(long, default_value = "", hide_default_value = true)]
    target: String,
    /// With --target: without that container's volumes and environment
    #[arg(long)]
    no_volumes: bool,
    /// Give the container a terminal
    #[arg(short, long)]
    tty: bool,
    /// general, baseline, restricted, netadmin or sysadmin
    #[arg(long, default_value = "general")]
    profile: String,
    /// File with a partial container spec that changes what the profile gives
    #[arg(long, default_value = "", hide_default_value = true)]
    custom: String,
    /// Do not ask before a pod gets the machine's namespaces
    #[arg(short = 'y', long)]
    yes: bool,
}

/// What the flags come to.
struct Plan<'a> {
    flags: &'a Debug,
    /// Empty where a copy gets no new container.
    image: String,
    attaches: bool,
    env: Vec<Json>,
    set_images: Vec<(String, String)>,
    profile: Profile,
    custom: Option<Json>,
}

/// A container that was made.
struct Made {
    pod: Object,
    /// Empty: none to attach to.
    container: String,
}

impl Debug {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let plan = self.plan(ctx)?;
        let client = ctx.client_to_change().await?;
        let args = self.args.iter().map(|a| if a.contains('/') { a.clone() } else { format!("pods/{a}") }).collect();
        let selection = Selection { args, files: self.files.clone(), ..Selection::default() };
        let mut found = selection.fetch(ctx).await?;
        if let Some(error) = CliError::many(std::mem::take(&mut found.errors)) {
            return Err(error);
        }
        let mut exit = Exit::Success;
        for info in &found.infos {
            let made = plan.make(ctx, &client, info).await?;
            if plan.attaches && !made.container.is_empty() {
                exit = attach::attach(ctx, &client, &made, self).await?;
            }
        }
        Ok(exit)
    }

    /// Checks the flags, in kubectl's order.
    fn plan(&self, ctx: &mut Context) -> Result<Plan<'_>, CliError> {
        let profile = Profile::parse(&self.profile)?;
        let custom = if self.custom.is_empty() { None } else { Some(custom::read(ctx, &self.custom)?) };
        let copies = !self.copy_to.is_empty();
        if self.attach == Some(true) && self.image.is_empty() && self.container.is_empty() {
            return Err(said("you must specify --container or create a new container using --image in order to attach."));
        }
        let wants_toolbox = !copies && self.image.is_empty() && (self.stdin || self.tty || !self.command.is_empty());
        if copies {
            if self.image.is_empty() && self.set_image.is_empty() && self.command.is_empty() {
                return Err(said("you must specify --image, --set-image or command arguments."));
            }
            if !self.command.is_empty() && self.container.is_empty() && self.image.is_empty() {
                return Err(said("you must specify an existing container or a new image when specifying args."));
            }
        } else if self.replace {
            return Err(said("--replace may only be used with --copy-to."));
        } else if self.same_node {
            return Err(said("--same-node may only be used with --copy-to."));
        } else if !self.set_image.is_empty() {
            return Err(said("--set-image may only be used with --copy-to."));
        } else if self.image.is_empty() && !wants_toolbox {
            // With nothing to run the toolbox would end at once.
            return Err(said("you must specify --image when not using --copy-to."));
        }
        let set_images = pairs(&self.set_image)?;
        let env = pairs(&self.env)?;
        if !self.image.is_empty() && !is_reference(&self.image) {
            return Err(said(&format!("invalid image name {}: invalid reference format", quote(&self.image))));
        }
        if self.args.is_empty() && self.files.is_empty() {
            return Err(said("NAME or filename is required for debug"));
        }
        if !matches!(self.image_pull_policy.as_str(), "" | "Always" | "IfNotPresent" | "Never") {
            return Err(said(&format!("invalid image pull policy: {}", self.image_pull_policy)));
        }
        if let Some((name, image)) = set_images.iter().find(|(_, image)| !is_reference(image)) {
            let (image, name) = (quote(image), quote(name));
            return Err(said(&format!("invalid image name {image} for container {name}: invalid reference format")));
        }
        if !self.target.is_empty() {
            if copies {
                return Err(said("--target is incompatible with --copy-to. Use --share-processes instead."));
            }
            if !self.quiet {
                ctx.out.line(&format!(
                    "Targeting container {}. If you don't see processes from this container it may be because the container \
                     runtime doesn't support this feature.",
                    quote(&self.target)
                ));
            }
        }
        if self.tty && !self.stdin {
            return Err(said("-i/--stdin is required for containers with -t/--tty=true"));
        }
        if let Some(custom) = &custom {
            custom::check(custom)?;
        }
        if profile == Profile::Legacy {
            ctx.err.line(
                "--profile=legacy is deprecated and planned to be removed in v1.39. It is recommended to specify other profile, \
                 for example \"--profile=general\".",
            );
        }
        let env = env.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        let image = if wants_toolbox { TOOLBOX_IMAGE.to_owned() } else { self.image.clone() };
        Ok(Plan { flags: self, image, attaches: self.attach.unwrap_or(self.stdin), env, set_images, profile, custom })
    }
}

impl Plan<'_> {
    async fn make(&self, ctx: &mut Context, client: &crate::client::Client, info: &Info) -> Result<Made, CliError> {
        match (info.found.kind.as_str(), info.found.group.as_str()) {
            ("Node", "") => self.on_node(ctx, client, info).await,
            ("Pod", "") if self.flags.copy_to.is_empty() => self.in_pod(ctx, client, info).await,
            ("Pod", "") => self.in_copy(ctx, client, info).await,
            (kind, group) => {
                let version = &info.found.version;
                Err(said(&format!("{} not supported by debug", quote(&format!("{group}/{version}, Kind={kind}")))))
            }
        }
    }

    /// The new container, before its profile; `common`: fields that every way of debugging gives.
    fn container(&self, name: &str) -> Json {
        let mut container = json!({"name": name, "image": self.image, "terminationMessagePolicy": "File"});
        self.with_command(&mut container);
        if !self.env.is_empty() {
            container["env"] = self.env.clone().into();
        }
        self.with_streams(&mut container);
        container
    }

    fn with_command(&self, container: &mut Json) {
        if !self.flags.command.is_empty() {
            let field = if self.flags.arguments_only { "args" } else { "command" };
            container[field] = self.flags.command.clone().into();
        }
    }

    fn with_streams(&self, container: &mut Json) {
        let flags = self.flags;
        for (field, is) in [("stdin", flags.stdin), ("tty", flags.tty)] {
            match container.as_object_mut() {
                Some(map) if !is => drop(map.remove(field)),
                _ => container[field] = is.into(),
            }
        }
        if !flags.image_pull_policy.is_empty() {
            container["imagePullPolicy"] = flags.image_pull_policy.clone().into();
        }
    }

    /// The name that was asked for, or a new one.
    fn name(&self, ctx: &mut Context, pod: &Object) -> String {
        if !self.flags.container.is_empty() {
            return self.flags.container.clone();
        }
        let name = loop {
            let name = format!("debugger-{}", suffix());
            if super::session::pod::container_named(pod, &name).is_none() {
                break name;
            }
        };
        if !self.flags.quiet {
            ctx.out.line(&format!("Defaulting debug container name to {name}."));
        }
        name
    }

    /// Warns where the profile's capabilities are of no use to an ordinary user.
    fn warn_of_user(&self, ctx: &mut Context, pod: &Json, container: &Json) {
        let user = |tree: &Json, pointer: &str| tree.pointer(pointer).and_then(Json::as_i64);
        let privileged = container.pointer("/securityContext/privileged") == Some(&Json::Bool(true));
        let added = container.pointer("/securityContext/capabilities/add").and_then(Json::as_array);
        let gains = privileged || added.is_some_and(|list| !list.is_empty());
        let of_pod = user(pod, "/spec/securityContext/runAsUser").unwrap_or(0);
        if of_pod != 0 && gains && user(container, "/securityContext/runAsUser") != Some(0) {
            ctx.err.line(
                "Warning: Non-root user is configured for the entire target Pod, and some capabilities granted by debug profile \
                 may not work. Please consider using \"--custom\" with a custom profile that specifies \
                 \"securityContext.runAsUser: 0\".",
            );
        }
    }
}

fn said(text: &str) -> CliError {
    CliError::message(text)
}

/// Five letters that spell nothing (k8s.io/apimachinery/pkg/util/rand).
fn suffix() -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut bits = SystemRandom::new();
    let letter = |_| char::from(LETTERS[usize::try_from(bits.next_u64() % LETTERS.len() as u64).unwrap_or(0)]);
    (0..5).map(letter).collect()
}

/// pflag's StringToString: `a=b,c=d`, repeated; later ones win.
fn pairs(texts: &[String]) -> Result<Vec<(String, String)>, CliError> {
    let mut found: Vec<(String, String)> = Vec::new();
    for text in texts {
        // One pair alone may have commas in its value.
        let parts: Vec<&str> = if text.matches('=').count() == 1 { vec![text] } else { text.split(',').collect() };
        for part in parts {
            let pair = part.split_once('=').ok_or_else(|| said(&format!("{part} must be formatted as key=value")))?;
            found.retain(|(name, _)| name != pair.0);
            found.push((pair.0.to_owned(), pair.1.to_owned()));
        }
    }
    Ok(found)
}

/// Whether an image's name can be one (github.com/distribution/reference: ReferenceRegexp).
fn is_reference(image: &str) -> bool {
    crate::node::normalise(image).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_as_pflag_does() {
        let of = |texts: &[&str]| pairs(&texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>()).map_err(|e| e.text());
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(of(&["a=b,c=d"]), Ok(vec![pair("a", "b"), pair("c", "d")]));
        assert_eq!(of(&["a=1,2", "a=3"]), Ok(vec![pair("a", "3")]));
        assert_eq!(of(&["a"]), Err("a must be formatted as key=value".into()));
    }

    #[test]
    fn names_of_containers_end_in_five_letters() {
        let one = suffix();
        assert_eq!(one.len(), 5);
        assert!(one.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()));
    }
}
