//! An apply set: a parent object that says where its members are, and a label on each member.
//! Source: KEP-3659; k8s.io/kubectl/pkg/cmd/apply/applyset.go.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::api::Json;
use crate::cli::CliError;
use crate::cli::change::DryRun;
use crate::cli::declare::Target;
use crate::cli::resources::Info;
use crate::client::{Ask, Client, Discovery, Found};
use crate::manifest::Problem;

const TOOLING: &str = "applyset.kubernetes.io/tooling";
const NAMESPACES: &str = "applyset.kubernetes.io/additional-namespaces";
const KINDS: &str = "applyset.kubernetes.io/contains-group-kinds";
/// The older form of [`KINDS`]: resources instead of kinds.
const RESOURCES: &str = "applyset.kubernetes.io/contains-group-resources";
const ID: &str = "applyset.kubernetes.io/id";
const PART_OF: &str = "applyset.kubernetes.io/part-of";
const PARENT_TYPE: &str = "applyset.kubernetes.io/is-parent-type";
/// The folder that the set is of.
const FOLDER: &str = "wl/folder";
/// This tool's name; a set of another tool is not touched.
const TOOL: &str = "wl";
const MANAGER: &str = "wl-applyset";

/// A set as the server knew it when it was opened.
pub struct ApplySet {
    parent: Arc<Found>,
    namespace: String,
    name: String,
    /// The folder that it is of, where it is one's.
    folder: Option<String>,
    /// Whether the parent was there.
    exists: bool,
    kinds: Vec<Arc<Found>>,
    namespaces: BTreeSet<String>,
}

impl ApplySet {
    /// Opens the set that `text` names: `NAME` (of a Secret) or `TYPE/NAME`.
    pub async fn open(client: &Client, discovery: &Discovery, text: &str, namespace: &str) -> Result<Self, CliError> {
        let fail = |why: String| CliError::message(format!("invalid parent reference \"{text}\": {why}"));
        let (kind, name) = text.split_once('/').unwrap_or(("secrets", text));
        if name.is_empty() {
            return Err(fail("name cannot be blank".into()));
        }
        let lookup = discovery.lookup(kind).ok_or_else(|| CliError::no_resource_type(kind))?;
        let parent = lookup.found;
        let namespace = if parent.namespaced { namespace.to_owned() } else { String::new() };
        let builtin = parent.group.is_empty() && matches!(parent.resource.as_str(), "secrets" | "configmaps");
        if !builtin && !is_parent_type(client, &parent).await? {
            let resource = format!("{}/{}, Resource={}", parent.group, parent.version, parent.resource);
            return Err(CliError::message(format!("resource \"{resource}\" is not permitted as an ApplySet parent")));
        }
        let mut set = ApplySet {
            parent,
            namespace,
            name: name.into(),
            folder: None,
            exists: false,
            kinds: Vec::new(),
            namespaces: BTreeSet::new(),
        };
        match client.get(&set.path()).await {
            Ok(object) => set.read(discovery, &object)?,
            Err(error) if error.is_not_found() && builtin => {}
            Err(error) if error.is_not_found() => {
                return Err(CliError::message("custom resource ApplySet parents cannot be created automatically"));
            }
            Err(error) => {
                let text = format!("failed to fetch ApplySet parent object \"{}\": {error}", set.shown());
                return Err(CliError::message(text));
            }
        }
        Ok(set)
    }

    fn path(&self) -> String {
        self.parent.path(&self.namespace, &self.name)
    }

    /// `secrets./web`, as kubectl writes it.
    fn shown(&self) -> String {
        format!("{}.{}/{}", self.parent.resource, self.parent.group, self.name)
    }

    /// What identifies the set, on the parent and on each member.
    pub fn id(&self) -> String {
        let text = [&self.name, &self.namespace, &self.parent.kind, &self.parent.group].map(String::as_str).join(".");
        format!("applyset-{}-v1", URL_SAFE_NO_PAD.encode(Sha256::digest(text.as_bytes())))
    }

    /// Whether anything was ever applied as this set.
    pub fn exists(&self) -> bool {
        self.exists
    }

    /// Makes it the set of a folder; that of another folder of the same name is not taken.
    pub fn claim(&mut self, folder: &str) -> Result<(), CliError> {
        match &self.folder {
            Some(other) if other != folder => Err(CliError::message(format!(
                "the apply set {} is that of the folder {other}: choose another name for this one's with --name",
                self.name
            ))),
            _ => {
                self.folder = Some(folder.to_owned());
                Ok(())
            }
        }
    }

    /// Takes over what the parent says of its set, if it is one of this tool's.
    fn read(&mut self, discovery: &Discovery, object: &Json) -> Result<(), CliError> {
        let of = |map: &str, key: &str| {
            object.pointer("/metadata")?.get(map)?.get(key)?.as_str().map(str::to_owned)
        };
        let shown = self.shown();
        let fail = |text: String| Err(CliError::message(text));
        let Some(tooling) = of("annotations", TOOLING) else {
            return fail(format!(
                "ApplySet parent object \"{shown}\" already exists and is missing required annotation \"{TOOLING}\""
            ));
        };
        let tool = tooling.rsplit_once('/').map_or(tooling.as_str(), |(tool, _)| tool);
        if tool != TOOL {
            return fail(format!(
                "ApplySet parent object \"{shown}\" already exists and is managed by tooling \"{tool}\" instead of \"{TOOL}\""
            ));
        }
        match of("labels", ID) {
            None => {
                return fail(format!("ApplySet parent object \"{shown}\" exists and does not have required label {ID}"));
            }
            Some(id) if id != self.id() => {
                let own = self.id();
                return fail(format!(
                    "ApplySet parent object \"{shown}\" exists and has incorrect value for label \"{ID}\" (got: {id}, want: {own})"
                ));
            }
            Some(_) => {}
        }
        let listed = |text: String| text.split(',').filter(|t| !t.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        if let Some(kinds) = of("annotations", KINDS) {
            for text in listed(kinds) {
                let (kind, group) = text.split_once('.').unwrap_or((&text, ""));
                let found = discovery.preferred_kind(group, kind).ok_or_else(|| {
                    CliError::message(format!(
                        "parsing ApplySet annotation on \"{shown}\": could not find mapping for kind in \"{KINDS}\" annotation: no \
                         matches for kind \"{kind}\" in group \"{group}\""
                    ))
                })?;
                self.kinds.push(found.clone());
            }
        } else if let Some(resources) = of("annotations", RESOURCES) {
            let known = listed(resources);
            self.kinds = discovery.preferred().filter(|r| known.contains(&r.qualified())).cloned().collect();
        } else {
            return fail(format!(
                "parsing ApplySet annotation on \"{shown}\": wl requires the \"{KINDS}\" annotation to be set on all ApplySet \
                 parent objects"
            ));
        }
        self.exists = true;
        self.folder = of("annotations", FOLDER);
        self.namespaces = listed(of("annotations", NAMESPACES).unwrap_or_default()).into_iter().collect();
        if self.parent.namespaced {
            self.namespaces.insert(self.namespace.clone());
        }
        Ok(())
    }

    /// Marks an object of a file as a member.
    pub fn adopt(&self, target: &mut Target) -> Option<Problem> {
        if target.tree.pointer("/metadata/labels").is_some_and(|labels| labels.get(PART_OF).is_some()) {
            let message = format!("ApplySet label \"{PART_OF}\" already set in input data");
            return Some(target.document.problem_at("metadata.labels", message, "the set puts it there"));
        }
        let metadata = &mut target.tree["metadata"];
        if !metadata["labels"].is_object() {
            metadata["labels"] = json!({});
        }
        metadata["labels"][PART_OF] = self.id().into();
        None
    }

    /// All members, as the parent says where they are.
    pub async fn members(&self, client: &Client) -> Result<Vec<Info>, CliError> {
        let selector = format!("{PART_OF}={}", self.id());
        let mut all = Vec::new();
        for found in &self.kinds {
            if !found.namespaced {
                all.extend(super::list(client, found, "", &selector).await?);
                continue;
            }
            for namespace in &self.namespaces {
                all.extend(super::list(client, found, namespace, &selector).await?);
            }
        }
        Ok(all)
    }

    /// Says on the parent, before anything is applied, where members may be from now on: whatever happens then, none is lost.
    pub async fn cover(&self, client: &Client, targets: &[Target], dry_run: DryRun) -> Result<(), CliError> {
        let kinds = self.kinds.iter().map(|f| group_kind(f)).chain(targets.iter().map(|t| group_kind(&t.found)));
        let namespaces = self.namespaces.iter().cloned().chain(targets.iter().map(|t| t.namespace.clone()));
        self.write(client, kinds.collect(), namespaces.collect(), dry_run).await
    }

    /// Says on the parent where members are: those of the files, and those that were kept.
    pub async fn settle(&self, client: &Client, targets: &[Target], kept: &[Info], dry_run: DryRun) -> Result<(), CliError> {
        let kinds = targets.iter().map(|t| group_kind(&t.found)).chain(kept.iter().map(|i| group_kind(&i.found)));
        let namespaces = targets.iter().map(|t| t.namespace.clone()).chain(kept.iter().map(|i| i.namespace.clone()));
        self.write(client, kinds.collect(), namespaces.collect(), dry_run).await
    }

    async fn write(
        &self,
        client: &Client,
        kinds: BTreeSet<String>,
        mut namespaces: BTreeSet<String>,
        dry_run: DryRun,
    ) -> Result<(), CliError> {
        if dry_run == DryRun::Client {
            return Ok(());
        }
        namespaces.remove("");
        namespaces.remove(&self.namespace);
        let joined = |set: BTreeSet<String>| set.into_iter().collect::<Vec<_>>().join(",");
        let mut annotations = json!({
            TOOLING: format!("{TOOL}/v{}", env!("CARGO_PKG_VERSION")),
            KINDS: joined(kinds),
            NAMESPACES: joined(namespaces),
        });
        if let Some(folder) = &self.folder {
            annotations[FOLDER] = folder.as_str().into();
        }
        let mut metadata = json!({"name": self.name, "annotations": annotations, "labels": {ID: self.id()}});
        if self.parent.namespaced {
            metadata["namespace"] = self.namespace.as_str().into();
        }
        let parent = json!({"apiVersion": self.parent.api_version(), "kind": self.parent.kind, "metadata": metadata});
        let ask = Ask::new(http::Method::PATCH, self.path())
            .query("fieldManager", MANAGER)
            .query("force", "true")
            .bytes("application/apply-patch+yaml", parent.to_string());
        match client.send(dry_run.ask(ask)).await {
            Ok(_) => Ok(()),
            Err(error) => Err(CliError::message(format!("failed to update ApplySet: {error}"))),
        }
    }

    /// Takes the parent away; the set must be empty.
    pub async fn remove(&self, client: &Client) -> Result<(), CliError> {
        match client.send(Ask::new(http::Method::DELETE, self.path())).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// `Deployment.apps`, `ConfigMap`.
fn group_kind(found: &Found) -> String {
    if found.group.is_empty() { found.kind.clone() } else { format!("{}.{}", found.kind, found.group) }
}

/// Whether a definition says that its resources may be parents.
async fn is_parent_type(client: &Client, found: &Found) -> Result<bool, CliError> {
    let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{}.{}", found.resource, found.group);
    match client.get(&path).await {
        Ok(definition) => Ok(definition.pointer("/metadata/labels").is_some_and(|l| l.get(PARENT_TYPE).is_some())),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error.into()),
    }
}
