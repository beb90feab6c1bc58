//! Which objects the arguments mean: `TYPE`, `TYPE NAME…`, `TYPE/NAME…`, `-f`, selectors, categories.
//! Source: k8s.io/cli-runtime/pkg/resource/builder.go.

use std::sync::Arc;

use super::{CliError, Context};
use crate::api::{Json, Object, status::quote};
use crate::client::{Ask, Client, Discovery, Found};

/// Accepts of clients that want the server's table.
pub const TABLE: &str =
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";

const MISSING: &str = "You must provide one or more resources by argument or filename.\nExample resource specifications \
                       include:\n   '-f rsrc.yaml'\n   '--filename=rsrc.json'\n   '<resource> <name>'\n   '<resource>'";

/// What the arguments ask for.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    pub args: Vec<String>,
    pub files: super::input::Files,
    /// `None`: not given; everything is meant where a type stands alone.
    pub labels: Option<String>,
    pub fields: Option<String>,
    pub all_namespaces: bool,
    /// `--all`: every object of the types.
    pub all: bool,
    pub subresource: String,
    /// Whether a type alone means all its objects (`get pods`), not an error (`delete pods`).
    pub type_alone: bool,
    /// Objects a list answer holds at most; 0: all.
    pub chunk: i64,
    /// The `Accept` of every request.
    pub accept: String,
    /// More query parameters of every request.
    pub query: Vec<(String, String)>,
    /// What is about to be done with the objects of files (`deleting`): told where one is not there.
    pub deed: Option<&'static str>,
}

/// One request's answer: an object, or a list (or table) of a type.
#[derive(Clone, Debug)]
pub struct Info {
    pub found: Arc<Found>,
    pub namespace: String,
    /// Empty for lists.
    pub name: String,
    pub object: Json,
    /// Where it was read from, for what comes from a file.
    pub source: Option<String>,
}

impl Info {
    /// `pod/web`, `deployment.apps/web`: how answers name it.
    pub fn shown(&self) -> String {
        format!("{}/{}", self.found.singular_qualified(), self.name)
    }

    /// `/api/v1/namespaces/default/pods/web`.
    pub fn path(&self) -> String {
        self.found.path(&self.namespace, &self.name)
    }

    pub fn object(&self) -> Object {
        Object::new(self.object.clone())
    }
}

/// What was found, and what was not.
#[derive(Debug, Default)]
pub struct Infos {
    pub infos: Vec<Info>,
    pub errors: Vec<CliError>,
    /// One single object was named (`pod web`), so that it is printed alone, not in a list.
    pub single: bool,
}

/// What the arguments name, before the server was asked.
#[derive(Debug)]
pub enum Targets {
    /// All objects of types, filtered.
    Lists(Vec<Arc<Found>>),
    /// These objects.
    Named(Vec<(Arc<Found>, String)>),
    /// The objects of files.
    Files,
}

impl Selection {
    /// What the arguments name.
    pub async fn targets(&self, ctx: &mut Context) -> Result<Targets, CliError> {
        let files = !self.files.is_empty();
        if files {
            self.files.check(ctx)?;
        }
        let args = &self.args;
        let slashes = args.iter().filter(|a| a.contains('/')).count();
        if slashes > 0 && slashes != args.len() {
            return Err(CliError::message(
                "there is no need to specify a resource type as a separate argument when passing arguments in \
                 resource/name form (e.g. 'wl get resource/<resource_name>' instead of 'wl get resource \
                 resource/<resource_name>'",
            ));
        }
        let tuples = if slashes > 0 { args.iter().map(|a| tuple(a)).collect::<Result<Vec<_>, _>>()? } else { Vec::new() };
        if files {
            if !args.is_empty() {
                return Err(CliError::message(
                    "when paths, URLs, or stdin is provided as input, you may not specify resource arguments as well",
                ));
            }
            return Ok(Targets::Files);
        }
        let types = if slashes > 0 { Vec::new() } else { self.types(ctx).await? };
        let names = if slashes > 0 { &[][..] } else { args.get(1..).unwrap_or(&[]) };
        let selects = self.all
            || self.labels.is_some()
            || self.fields.is_some()
            || (self.type_alone && types_only(args, &tuples));
        if selects {
            if !names.is_empty() {
                return Err(CliError::message("name cannot be provided when a selector is specified"));
            }
            if !tuples.is_empty() {
                return Err(CliError::message(
                    "selectors and the all flag cannot be used when passing resource/name arguments",
                ));
            }
            if types.is_empty() {
                return Err(CliError::message("at least one resource must be specified to use a selector"));
            }
            return Ok(Targets::Lists(mapped(ctx, &types).await?));
        }
        if !tuples.is_empty() {
            return self.named_tuples(ctx, &tuples).await;
        }
        if !names.is_empty() {
            if types.len() > 1 {
                return Err(CliError::message("you must specify only one resource"));
            }
            let found = mapped(ctx, &types).await?.remove(0);
            self.refuse_all_namespaces(&found)?;
            return Ok(Targets::Named(names.iter().map(|n| (found.clone(), n.clone())).collect()));
        }
        if !types.is_empty() {
            mapped(ctx, &types).await?;
            return Err(CliError::message("resource(s) were provided, but no name was specified"));
        }
        Err(CliError::message(MISSING))
    }

    async fn named_tuples(&self, ctx: &mut Context, tuples: &[(String, String)]) -> Result<Targets, CliError> {
        let mut named = Vec::new();
        for (kind, name) in tuples {
            let found = mapped(ctx, std::slice::from_ref(kind)).await?.remove(0);
            self.refuse_all_namespaces(&found)?;
            named.push((found, name.clone()));
        }
        Ok(Targets::Named(named))
    }

    fn refuse_all_namespaces(&self, found: &Found) -> Result<(), CliError> {
        if found.namespaced && self.all_namespaces {
            return Err(CliError::message("a resource cannot be retrieved by name across all namespaces"));
        }
        Ok(())
    }

    /// The types of the first argument, categories taken apart, each once.
    async fn types(&self, ctx: &mut Context) -> Result<Vec<String>, CliError> {
        let Some(first) = self.args.first() else { return Ok(Vec::new()) };
        let discovery = ctx.client().await?.discovery().await?;
        let mut types: Vec<String> = Vec::new();
        for part in first.split(',') {
            let members = discovery.category(part).unwrap_or_else(|| vec![part.to_owned()]);
            for member in members {
                if !types.contains(&member) {
                    types.push(member);
                }
            }
        }
        Ok(types)
    }

    /// Asks the server for all that is meant; an object that cannot be had does not stop the others.
    pub async fn fetch(&self, ctx: &mut Context) -> Result<Infos, CliError> {
        let targets = self.targets(ctx).await?;
        let client = ctx.client().await?;
        let mut out = Infos::default();
        match targets {
            Targets::Lists(types) => {
                for found in types {
                    self.list(ctx, &client, &found, &mut out).await;
                }
            }
            Targets::Named(named) => {
                out.single = named.len() == 1;
                for (found, name) in named {
                    match self.get(ctx, &client, &found, &name).await {
                        Ok(info) => out.infos.push(info),
                        Err(error) => out.errors.push(error),
                    }
                }
            }
            Targets::Files => self.fetch_files(ctx, &client, &mut out).await?,
        }
        Ok(out)
    }

    fn namespace(&self, ctx: &Context, found: &Found) -> String {
        if found.namespaced && !self.all_namespaces { ctx.namespace().to_owned() } else { String::new() }
    }

    fn ask(&self, path: String) -> Ask {
        let mut ask = Ask::get(path);
        ask.query = self.query.clone();
        if self.accept.is_empty() { ask } else { ask.accept(&self.accept) }
    }

    async fn get(&self, ctx: &mut Context, client: &Client, found: &Arc<Found>, name: &str) -> Result<Info, CliError> {
        let namespace = self.namespace(ctx, found);
        check_path_segment(name)?;
        let mut path = found.path(&namespace, name);
        if !self.subresource.is_empty() {
            path.push('/');
            path.push_str(&crate::client::segment(&self.subresource));
        }
        let response = client.send(self.ask(path)).await?;
        ctx.warn_all(&response.warnings);
        let object = response.json()?;
        Ok(Info { found: found.clone(), namespace, name: name.into(), object, source: None })
    }

    async fn list(&self, ctx: &mut Context, client: &Client, found: &Arc<Found>, out: &mut Infos) {
        let namespace = self.namespace(ctx, found);
        let mut next = String::new();
        loop {
            let ask = self.list_ask(found, &namespace, &next);
            let answer = async {
                let response = client.send(ask).await.map_err(|e| self.list_error(e.into(), found))?;
                Ok::<_, CliError>((response.json()?, response.warnings))
            };
            match answer.await {
                Ok((object, warnings)) => {
                    ctx.warn_all(&warnings);
                    next = object.pointer("/metadata/continue").and_then(Json::as_str).unwrap_or("").to_owned();
                    let namespace = namespace.clone();
                    out.infos.push(Info { found: found.clone(), namespace, name: String::new(), object, source: None });
                }
                Err(error) => {
                    out.errors.push(error);
                    return;
                }
            }
            if next.is_empty() {
                return;
            }
        }
    }

    fn list_ask(&self, found: &Found, namespace: &str, next: &str) -> Ask {
        let mut path = found.path(namespace, "");
        if !self.subresource.is_empty() {
            path.push('/');
            path.push_str(&crate::client::segment(&self.subresource));
        }
        let mut ask = self.ask(path);
        for (key, value) in [("labelSelector", &self.labels), ("fieldSelector", &self.fields)] {
            if let Some(value) = value.as_ref().filter(|v| !v.is_empty()) {
                ask = ask.query(key, value.as_str());
            }
        }
        if self.chunk > 0 {
            ask = ask.query("limit", self.chunk.to_string());
        }
        if !next.is_empty() {
            ask = ask.query("continue", next);
        }
        ask
    }

    /// Says what was looked for. Source: k8s.io/cli-runtime/pkg/resource/interfaces.go (`EnhanceListError`).
    fn list_error(&self, error: CliError, found: &Found) -> CliError {
        let CliError::Status(mut status) = error else { return error };
        if matches!(status.reason.as_str(), "BadRequest" | "NotFound") {
            let subject = quote(&format!("{}, Resource={}", group_version(found), found.resource));
            let (labels, fields) = (self.labels.as_deref().unwrap_or(""), self.fields.as_deref().unwrap_or(""));
            status.message = if labels.is_empty() && fields.is_empty() {
                format!("Unable to list {subject}: {}", status.message)
            } else {
                format!(
                    "Unable to find {subject} that match label selector {}, field selector {}: {}",
                    quote(labels),
                    quote(fields),
                    status.message
                )
            };
        }
        CliError::Status(status)
    }

    async fn fetch_files(&self, ctx: &mut Context, client: &Client, out: &mut Infos) -> Result<(), CliError> {
        let objects = self.files.objects(ctx).await?;
        let discovery = client.discovery().await?;
        out.single = objects.len() == 1;
        for item in objects {
            let (found, namespace) = super::input::place(ctx, &discovery, &item)?;
            let name = item.object.name().to_owned();
            let mut path = found.path(&namespace, &name);
            if !self.subresource.is_empty() {
                path.push('/');
                path.push_str(&crate::client::segment(&self.subresource));
            }
            match client.send(self.ask(path)).await {
                Ok(response) => {
                    ctx.warn_all(&response.warnings);
                    let object = response.json()?;
                    out.infos.push(Info { found, namespace, name, object, source: Some(item.source.clone()) });
                }
                Err(error) => out.errors.push(match self.deed {
                    Some(deed) => CliError::from(error).at(deed, &item.source),
                    None => error.into(),
                }),
            }
        }
        Ok(())
    }
}

/// All objects of a path, asked for in pieces of `chunk` (0: all at once).
pub async fn fetch_all(client: &Client, path: &str, query: &[(&str, &str)], chunk: i64) -> Result<Vec<Json>, CliError> {
    let mut all = Vec::new();
    let mut next = String::new();
    loop {
        let mut ask = query.iter().fold(Ask::get(path), |ask, (key, value)| ask.query(key, *value));
        if chunk > 0 {
            ask = ask.query("limit", chunk.to_string());
        }
        if !next.is_empty() {
            ask = ask.query("continue", next);
        }
        let mut list = client.send(ask).await?.json()?;
        next = list.pointer("/metadata/continue").and_then(Json::as_str).unwrap_or("").to_owned();
        if let Some(Json::Array(items)) = list.get_mut("items").map(Json::take) {
            all.extend(items);
        }
        if next.is_empty() {
            return Ok(all);
        }
    }
}

/// Lists taken apart, so that each is one object; objects stay as they are.
pub fn items(infos: Vec<Info>) -> Vec<Info> {
    let mut all = Vec::new();
    for mut info in infos {
        if !info.name.is_empty() {
            all.push(info);
            continue;
        }
        let Json::Array(items) = info.object["items"].take() else { continue };
        for mut object in items {
            object["apiVersion"] = Json::from(info.found.api_version());
            object["kind"] = Json::from(info.found.kind.clone());
            let text = |field: &str| object.pointer(field).and_then(Json::as_str).unwrap_or("").to_owned();
            let namespace = if info.found.namespaced { text("/metadata/namespace") } else { String::new() };
            let name = text("/metadata/name");
            all.push(Info { found: info.found.clone(), namespace, name, object, source: info.source.clone() });
        }
    }
    all
}

/// `/v1`, `apps/v1`: as `schema.GroupVersion` inside a `GroupVersionResource` prints.
fn group_version(found: &Found) -> String {
    format!("{}/{}", found.group, found.version)
}

fn types_only(args: &[String], tuples: &[(String, String)]) -> bool {
    args.len() == 1 && tuples.is_empty()
}

fn tuple(argument: &str) -> Result<(String, String), CliError> {
    let parts: Vec<&str> = argument.split('/').collect();
    match parts[..] {
        [kind, name] if !kind.is_empty() && !name.is_empty() && !kind.contains(',') => Ok((kind.into(), name.into())),
        [_, _] => Err(CliError::message("arguments in resource/name form must have a single resource and name")),
        _ => Err(CliError::message("arguments in resource/name form may not have more than one slash")),
    }
}

/// The resources that type names mean.
pub async fn mapped(ctx: &mut Context, types: &[String]) -> Result<Vec<Arc<Found>>, CliError> {
    let discovery = ctx.client().await?.discovery().await?;
    types.iter().map(|name| map_one(ctx, &discovery, name)).collect()
}

/// The resource that one type name means.
pub fn map_one(ctx: &mut Context, discovery: &Discovery, name: &str) -> Result<Arc<Found>, CliError> {
    let lookup = discovery.lookup(name);
    let lookup = lookup.ok_or_else(|| CliError::no_resource_type(name.split('.').next().unwrap_or(name)))?;
    ctx.warn_all(&lookup.warnings);
    Ok(lookup.found)
}

/// A name that would lead to another path is refused before it is sent.
/// Source: k8s.io/apimachinery/pkg/api/validation/path/name.go.
pub fn check_path_segment(name: &str) -> Result<(), CliError> {
    if name == "." || name == ".." {
        return Err(CliError::message(format!("invalid resource name {}: [may not be '{name}']", quote(name))));
    }
    if let Some(c) = ['/', '%'].into_iter().find(|c| name.contains(*c)) {
        return Err(CliError::message(format!("invalid resource name {}: [may not contain '{c}']", quote(name))));
    }
    Ok(())
}
