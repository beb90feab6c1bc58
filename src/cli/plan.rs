//! `wl plan`: what an apply would do, pod by pod. Writes nothing, anywhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt;

use super::declare::{self, Target, Validate};
use super::diagnose;
use super::input::Files;
use super::prune::PruneFlags;
use super::{CliError, CliResult, Context, Exit};
use crate::api::schema::Schema;
use crate::api::{GroupResource, Json, Key, Object};
use crate::client::{Ask, Client, Discovery, Found};
use crate::controllers;
use crate::plan::{self, Inputs, Intent, Plan as Made};
use crate::registry::{Body, FieldValidation, Options, PatchKind, Request, User, Verb};
use crate::state::State;

/// Objects in one page of a list.
const PAGE: &str = "2000";
/// Lists in flight.
const IN_FLIGHT: usize = 6;

/// Show what apply would do: which fields change, and what becomes of every pod
#[derive(clap::Args)]
pub struct Plan {
    #[command(flatten)]
    files: Files,
    /// Delete and make again what cannot be changed in place
    #[arg(long)]
    replace: bool,
    /// text or json
    #[arg(short, long, default_value = "text", value_parser = ["text", "json"])]
    output: String,
    #[command(flatten)]
    prune: PruneFlags,
    /// Unknown and doubled fields: strict, warn or ignore
    #[arg(long, num_args = 0..=1, default_value = "strict", default_missing_value = "strict", require_equals = true, hide_default_value = true)]
    validate: String,
    #[command(flatten)]
    watch: crate::engine::watch::WatchFlags,
}

impl Plan {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        if self.files.is_empty() {
            return Err(CliError::message("must specify -f"));
        }
        self.prune.check(None, false)?;
        let validate = Validate::parse(&self.validate).map_err(CliError::message)?;
        ctx.watch_flags = self.watch.clone();
        let (documents, mut problems) = declare::documents(ctx, &self.files, validate).await?;
        let client = ctx.client().await?;
        let discovery = client.discovery().await?;
        let mut targets = declare::targets(ctx, &discovery, &documents, validate, &mut problems);
        let scope = self.prune.scope(ctx, &client, None).await?;
        if let Some(scope) = &scope {
            scope.adopt(&mut targets, &mut problems);
        }
        let gone = match &scope {
            Some(scope) => scope.leftovers(&client, &targets, self.prune.prune_volumes).await?.keys(),
            None => Vec::new(),
        };
        let made = if problems.is_empty() { Some(make(ctx, &client, &targets, gone, self.replace).await?) } else { None };
        if let Some(made) = &made {
            for (object, status) in made.refused() {
                let name = object.name.split_once('/').map_or("", |(_, name)| name);
                let target = targets.iter().find(|t| t.name == name && t.found.gvk() == object.gvk && t.namespace == object.namespace);
                if let Some(target) = target {
                    problems.extend(diagnose::refusal(&target.document, status));
                }
            }
        }
        let Some(made) = made.filter(|_| problems.is_empty()) else {
            return Err(declare::fail(ctx, &problems, "there is no plan"));
        };
        let mut command = self.files.filename.iter().map(|f| format!("-f {f}")).collect::<Vec<_>>().join(" ");
        if self.files.recursive {
            command.push_str(" -R");
        }
        command.push_str(&self.prune.typed());
        if self.replace {
            command.push_str(" --replace");
        }
        match self.output.as_str() {
            "json" => ctx.out.line(&format!("{:#}", plan::render::json(&made))),
            _ => ctx.out.text(&plan::render::text(&made, &command)),
        }
        Ok(if made.changes_anything() { Exit::Changes } else { Exit::Success })
    }
}

/// Makes the plan of applying `targets` and deleting `prune` from what the server holds now.
pub async fn make(ctx: &Context, client: &Client, targets: &[Target], prune: Vec<Key>, replace: bool) -> Result<Made, CliError> {
    let intents: Vec<Intent> = targets.iter().map(intent).collect();
    let controllers = controllers::of_a_plan();
    let settings = ctx.watch_flags.settings();
    let (mut state, now) = (State::new(), ctx.now());
    let discovery = client.discovery().await?;
    let lists = Lists::of(&discovery);
    let (first, rest) = lists.split(|list| NEEDED_FIRST.contains(&list.kind.as_str()) || intents.iter().any(|i| i.gvk.kind == list.kind));
    first.fetch(client, &mut state).await?;
    if let Some(node) = ctx.node_to_come() {
        let node = Object::new(node.clone());
        state.load(Key::new(GroupResource::new("", "nodes"), "", node.name()), node);
    }
    let inputs = Inputs { state: &state, controllers: &controllers, settings: &settings, now, prune, replace };
    if let Some(nothing) = plan::nothing(&intents, &inputs) {
        return Ok(nothing);
    }
    let prune = inputs.prune;
    rest.fetch(client, &mut state).await?;
    Ok(plan::make(&intents, &Inputs { state: &state, controllers: &controllers, settings: &settings, now, prune, replace }))
}

fn intent(target: &Target) -> Intent {
    let found = &target.found;
    let resource = Schema::get().resource(&found.group, &found.version, &found.resource).cloned();
    let resource = resource.unwrap_or_else(|| crate::api::Resource {
        group: found.group.clone(),
        version: found.version.clone(),
        resource: found.resource.clone(),
        kind: found.kind.clone(),
        namespaced: found.namespaced,
        singular: found.singular.clone(),
        short_names: Vec::new(),
        categories: Vec::new(),
        verbs: found.verbs.clone(),
        subresources: found.subresources.iter().map(|name| serde_json::json!({"name": name})).collect(),
        columns: Vec::new(),
        custom: true,
        selectable: Vec::new(),
    });
    let options = Options {
        field_manager: Some("wl".into()),
        field_validation: FieldValidation::Strict,
        force: Some(true),
        user_agent: "wl".into(),
        user: User { name: "wl".into(), groups: vec!["system:masters".into()], ..User::default() },
        ..Options::default()
    };
    let request = Request {
        verb: Verb::Patch,
        resource: Arc::new(resource),
        subresource: None,
        namespace: target.namespace.clone(),
        name: target.name.clone(),
        body: Body::Patch { kind: PatchKind::Apply, tree: target.tree.clone() },
        options,
    };
    Intent { request, gvk: found.gvk(), place: target.document.place_of("metadata.name") }
}

/// What is asked for before it is known whether anything changes, besides the kinds that are applied: what admission looks at.
const NEEDED_FIRST: &[&str] = &["Namespace", "LimitRange", "ResourceQuota"];

/// What the server lists, Events left out.
struct Lists(Vec<Arc<Found>>);

impl Lists {
    fn of(discovery: &Discovery) -> Self {
        // A resource that is served in several versions is kept once: one of them is enough.
        let mut wanted: BTreeMap<(String, String), Arc<Found>> = BTreeMap::new();
        for found in discovery.preferred().filter(|r| r.supports("list") && r.kind != "Event" && r.kind != "ComponentStatus") {
            wanted.entry((found.group.clone(), found.resource.clone())).or_insert_with(|| found.clone());
        }
        Lists(wanted.into_values().collect())
    }

    fn split(self, is_first: impl Fn(&Found) -> bool) -> (Lists, Lists) {
        let (first, rest) = self.0.into_iter().partition(|found| is_first(found));
        (Lists(first), Lists(rest))
    }

    /// Puts all objects of the lists into a state to fork.
    async fn fetch(self, client: &Client, state: &mut State) -> Result<(), CliError> {
        let answers = futures_util::stream::iter(self.0)
            .map(|found| async move { list(client, &found).await.map(|items| (found, items)) })
            .buffered(IN_FLIGHT)
            .collect::<Vec<_>>()
            .await;
        let mut newest = state.revision();
        for answer in answers {
            let (found, items) = answer?;
            for mut item in items {
                item["apiVersion"] = Json::from(found.api_version());
                item["kind"] = Json::from(found.kind.clone());
                let object = Object::new(item);
                newest = newest.max(object.resource_version().parse().unwrap_or(0));
                let namespace = if found.namespaced { object.namespace() } else { "" };
                let key = Key::new(found.group_resource(), namespace, object.name());
                state.load(key, object);
            }
        }
        state.set_revision(newest);
        Ok(())
    }
}

async fn list(client: &Client, found: &Found) -> Result<Vec<Json>, CliError> {
    let mut items = Vec::new();
    let mut token = String::new();
    loop {
        let mut ask = Ask::get(found.path("", "")).query("limit", PAGE);
        if !token.is_empty() {
            ask = ask.query("continue", token.clone());
        }
        let mut page = client.send(ask).await?.json()?;
        token = page.pointer("/metadata/continue").and_then(Json::as_str).unwrap_or("").to_owned();
        if let Json::Array(more) = page["items"].take() {
            items.extend(more);
        }
        if token.is_empty() {
            return Ok(items);
        }
    }
}
