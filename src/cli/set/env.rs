//! `wl set env`. Source: k8s.io/kubectl/pkg/cmd/set/set_env.go, k8s.io/kubectl/pkg/cmd/set/env.

use std::io::Read as _;

use serde_json::json;

use super::containers::{pod_spec, select};
use super::{Which, Words};
use crate::api::Json;
use crate::api::status::quote;
use crate::api::validation::names::env_name;
use crate::cli::change::DryRun;
use crate::cli::resources::{Info, Selection, items};
use crate::cli::{CliError, CliResult, Context, Exit};

const WORDS: Words = Words { done: "env updated", failed: "failed to patch env update to pod template:", quiet: true };

/// Set environment variables of containers (KEY=VALUE), remove them (KEY-), or list them
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  wl set env deploy/web MODE=test OLD-\n  wl set env deploy/web --from=configmap/web-config\n  wl set env deploy/web --list")]
pub struct Env {
    #[command(flatten)]
    which: Which,
    /// Only objects with these labels
    #[arg(short = 'l', long, default_value = "", hide_default_value = true)]
    selector: String,
    /// Names of the containers, with `*` for any text
    #[arg(short, long, default_value = "*")]
    containers: String,
    /// ConfigMap or Secret whose keys become variables: `configmap/web-config`
    #[arg(long, default_value = "", hide_default_value = true)]
    from: String,
    /// Put before the names of the variables
    #[arg(long, default_value = "", hide_default_value = true)]
    prefix: String,
    /// `KEY=VALUE`; may be repeated
    #[arg(short, long)]
    env: Vec<String>,
    /// Keys to take from --from; all if none is named
    #[arg(long, value_delimiter = ',')]
    keys: Vec<String>,
    /// Print the variables, change nothing
    #[arg(long)]
    list: bool,
    /// With --list: the values behind references (those of Secrets are never printed)
    #[arg(long)]
    resolve: bool,
    /// Replace values that are there
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    overwrite: bool,
}

/// Variables to set, and names to remove.
#[derive(Default)]
struct Variables {
    set: Vec<Json>,
    remove: Vec<String>,
}

impl Env {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        if self.which.all && !self.selector.is_empty() {
            return Err(CliError::message("cannot set --all and --selector at the same time"));
        }
        let (names, words) = self.split()?;
        let dry_run = self.which.dry_run(ctx)?;
        self.which.teller(ctx, dry_run)?;
        self.check(&names, dry_run)?;
        let mut variables = self.variables(ctx, &words)?;
        if !self.from.is_empty() {
            variables.set.extend(self.keys_of_source(ctx).await?);
        }
        for variable in &mut variables.set {
            let name = format!("{}{}", self.prefix, variable["name"].as_str().unwrap_or(""));
            variable["name"] = name.into();
        }
        let infos = self.which.find(ctx, &names, &self.selector, dry_run).await?;
        if self.list {
            return self.tell_list(ctx, &infos, &variables).await;
        }
        let mut warnings = Vec::new();
        let outcome = self
            .which
            .change(ctx, &infos, dry_run, &WORDS, |info, tree, _| {
                let mut containers = select(pod_spec(info, tree)?, &self.containers);
                if containers.is_empty() {
                    let (kind, name) = (&info.found.kind, &info.name);
                    warnings.push(format!("{kind}/{name} does not have any containers matching {}", quote(&self.containers)));
                }
                containers.iter_mut().try_for_each(|container| self.update(container, &variables))
            })
            .await;
        ctx.warn_all(&warnings);
        outcome
    }

    /// Names of objects first, then variables.
    fn split(&self) -> Result<(Vec<String>, Vec<String>), CliError> {
        let is_variable = |word: &String| word.find('=').is_some_and(|at| at > 0) || word.ends_with('-');
        let args = &self.which.args;
        let first = args.iter().position(is_variable).unwrap_or(args.len());
        let (names, words) = args.split_at(first);
        if !words.iter().all(is_variable) {
            let text = format!("all resources must be specified before environment changes: {}", args.join(" "));
            return Err(CliError::message(text));
        }
        Ok((names.to_vec(), self.env.iter().chain(words).cloned().collect()))
    }

    fn check(&self, names: &[String], dry_run: DryRun) -> Result<(), CliError> {
        let fail = |text: &str| Err(CliError::message(text));
        if self.which.local && dry_run == DryRun::Server {
            return fail("cannot specify --local and --dry-run=server - did you mean --dry-run=client?");
        }
        if self.which.files.is_empty() && names.is_empty() {
            return fail("one or more resources must be specified as <resource> <name> or <resource>/<name>");
        }
        if self.list && !self.which.print.output.is_empty() {
            return fail("--list and --output may not be specified together");
        }
        if !self.keys.is_empty() && self.from.is_empty() {
            return fail("when specifying --keys, a configmap or secret must be provided with --from");
        }
        Ok(())
    }

    fn variables(&self, ctx: &mut Context, words: &[String]) -> Result<Variables, CliError> {
        let mut all = Variables::default();
        let mut named = Vec::new();
        for word in words {
            if word == "-" {
                let mut text = String::new();
                let read = ctx.stdin.read_to_string(&mut text);
                read.map_err(|e| CliError::message(format!("reading standard input: {e}")))?;
                let lines = text.lines().filter_map(|line| line.split('#').next()?.split_once('='));
                all.set.extend(lines.map(|(name, value)| json!({"name": name, "value": value})));
            } else if let Some((name, value)) = word.split_once('=') {
                let wrong = env_name(name);
                if !wrong.is_empty() {
                    return Err(CliError::message(format!("{} is not a valid key name: {}", quote(name), wrong.join(";"))));
                }
                named.push(name.to_owned());
                all.set.push(variable(name, value));
            } else {
                all.remove.push(word.strip_suffix('-').unwrap_or(word).to_owned());
            }
        }
        if all.remove.iter().any(|name| named.contains(name)) {
            return Err(CliError::message("can not both modify and remove the same environment variable in the same command"));
        }
        Ok(all)
    }

    /// Variables that refer to the keys of a ConfigMap or Secret.
    async fn keys_of_source(&self, ctx: &mut Context) -> Result<Vec<Json>, CliError> {
        ctx.client().await?;
        let selection = Selection { args: vec![self.from.clone()], all: self.which.all, ..Selection::default() };
        let found = selection.fetch(ctx).await?;
        if let Some(error) = CliError::many(found.errors) {
            return Err(error);
        }
        let mut all = Vec::new();
        for source in items(found.infos) {
            let reference = match (source.found.group.as_str(), source.found.kind.as_str()) {
                ("", "Secret") => "secretKeyRef",
                ("", "ConfigMap") => "configMapKeyRef",
                _ => return Err(CliError::message("unsupported resource specified in --from")),
            };
            let keys = source.object.get("data").and_then(Json::as_object).into_iter().flatten().map(|(key, _)| key);
            for key in keys.filter(|key| self.keys.is_empty() || self.keys.contains(key)) {
                let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
                let name: String = key.chars().map(plain).collect::<String>().to_uppercase();
                if name != *key {
                    ctx.warn(&format!("key {key} transferred to {name}"));
                }
                all.push(json!({"name": name, "valueFrom": {reference: {"name": source.name, "key": key}}}));
            }
        }
        Ok(all)
    }

    /// Source: helper.go, `updateEnv`.
    fn update(&self, container: &mut Json, variables: &Variables) -> Result<(), String> {
        let old = container.get("env").and_then(Json::as_array).cloned().unwrap_or_default();
        let name = |variable: &Json| variable["name"].as_str().unwrap_or("").to_owned();
        let value = |variable: &Json| variable.get("value").and_then(Json::as_str).unwrap_or("").to_owned();
        let newer = |wanted: &str| variables.set.iter().find(|v| name(v) == wanted);
        if !self.overwrite {
            for variable in &variables.set {
                let now = old.iter().find(|o| name(o) == name(variable)).filter(|o| value(o) != value(variable));
                if let Some(now) = now {
                    return Err(format!("'{}' already has a value ({}), and --overwrite is false", name(now), value(now)));
                }
            }
        }
        let mut covered = variables.remove.clone();
        let mut all = Vec::new();
        for variable in old {
            let own = name(&variable);
            if covered.contains(&own) {
                continue;
            }
            if let Some(newer) = newer(&own) {
                covered.push(own);
                all.push(newer.clone());
            } else {
                all.push(variable);
            }
        }
        for variable in &variables.set {
            let own = name(variable);
            if !covered.contains(&own) {
                covered.push(own);
                all.push(variable.clone());
            }
        }
        match container.as_object_mut() {
            Some(map) if all.is_empty() => drop(map.remove("env")),
            _ => container["env"] = all.into(),
        }
        Ok(())
    }

    async fn tell_list(&self, ctx: &mut Context, infos: &[Info], variables: &Variables) -> CliResult {
        for info in infos {
            let mut tree = info.object.clone();
            let Ok(spec) = pod_spec(info, &mut tree) else { continue };
            for container in select(spec, &self.containers) {
                if self.update(container, variables).is_err() {
                    break;
                }
                let name = container["name"].as_str().unwrap_or("");
                ctx.out.line(&format!("# {} {}, container {name}", info.found.kind, info.name));
                for variable in container.get("env").and_then(Json::as_array).into_iter().flatten() {
                    let name = variable["name"].as_str().unwrap_or("");
                    let Some(source) = variable.get("valueFrom") else {
                        ctx.out.line(&format!("{name}={}", variable.get("value").and_then(Json::as_str).unwrap_or("")));
                        continue;
                    };
                    match if self.resolve { self.resolved(ctx, info, source).await } else { None } {
                        Some(value) => ctx.out.line(&format!("{name}={value}")),
                        None => ctx.out.line(&format!("# {name} from {}", shown(source))),
                    }
                }
            }
        }
        Ok(Exit::Success)
    }

    /// The value behind a reference; of Secrets and of what only a running container has there is none.
    async fn resolved(&self, ctx: &mut Context, info: &Info, source: &Json) -> Option<String> {
        let text = |pointer: &str| source.pointer(pointer).and_then(Json::as_str);
        if let (Some(name), Some(key)) = (text("/configMapKeyRef/name"), text("/configMapKeyRef/key")) {
            let client = ctx.client().await.ok()?;
            let segment = crate::client::segment;
            let path = format!("/api/v1/namespaces/{}/configmaps/{}", segment(&info.namespace), segment(name));
            let map = client.get(&path).await.ok()?;
            return map.get("data")?.get(key)?.as_str().map(str::to_owned);
        }
        let field = text("/fieldRef/fieldPath")?.strip_prefix("metadata.")?;
        let value = match field.split_once("['") {
            Some((map, key)) => info.object.get("metadata")?.get(map)?.get(key.strip_suffix("']")?)?,
            None => info.object.get("metadata")?.get(field)?,
        };
        value.as_str().map(str::to_owned)
    }
}

/// As Go holds a variable: an empty value is none.
fn variable(name: &str, value: &str) -> Json {
    if value.is_empty() { json!({"name": name}) } else { json!({"name": name, "value": value}) }
}

/// Source: k8s.io/kubectl/pkg/cmd/set/env/env_resolve.go, `GetEnvVarRefString`.
fn shown(source: &Json) -> String {
    let text = |pointer: &str| source.pointer(pointer).and_then(Json::as_str).unwrap_or("");
    if source.get("configMapKeyRef").is_some() {
        return format!("configmap {}, key {}", text("/configMapKeyRef/name"), text("/configMapKeyRef/key"));
    }
    if source.get("secretKeyRef").is_some() {
        return format!("secret {}, key {}", text("/secretKeyRef/name"), text("/secretKeyRef/key"));
    }
    if source.get("fieldRef").is_some() {
        return format!("field path {}", text("/fieldRef/fieldPath"));
    }
    if source.get("resourceFieldRef").is_some() {
        let container = text("/resourceFieldRef/containerName");
        let slash = if container.is_empty() { "" } else { "/" };
        return format!("resource field {container}{slash}{}", text("/resourceFieldRef/resource"));
    }
    "invalid valueFrom".into()
}
