//! What one write does to the state: decode, admit, default, validate, merge, keep. Pure.
//!
//! The API server, the controllers of the running engine and those of `wl plan`'s fork all write
//! through [`execute`], so all three get the same defaults, admission, allocation and refusals.

pub mod access;
mod admit;
pub mod allocation;
mod binding;
pub mod body;
pub mod bootstrap;
mod collection;
pub mod conversion;
mod create;
pub mod custom;
mod delete;
mod eviction;
pub mod list;
mod metadata;
mod ownership;
pub mod paging;
mod patch;
mod run;
pub mod scale;
pub mod selection;
mod strategy;
pub mod text;
pub mod token;
mod update;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

pub use crate::admission::PodSecurityLevel;
use crate::api::{Json, Random, Resource, Status};
use crate::state::State;

pub use delete::dry_run_error;

use run::Run;
use strategy::Part;

/// A write (or a dry run of one) on one resource.
#[derive(Clone, Debug)]
pub struct Request {
    pub verb: Verb,
    pub resource: Arc<Resource>,
    /// `status`, `scale`, `eviction`, `binding`, `ephemeralcontainers`, `resize`, `finalize`, `token`.
    pub subresource: Option<String>,
    /// Empty for cluster-scoped resources.
    pub namespace: String,
    /// Empty for `create` (the body names it) and `deletecollection`.
    pub name: String,
    pub body: Body,
    pub options: Options,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

/// What came with the request.
#[derive(Clone, Debug)]
pub enum Body {
    None,
    /// Bytes as a client sent them, still to be read by `Content-Type`.
    Text { media_type: String, bytes: bytes::Bytes },
    /// A tree from inside this process.
    Tree(Json),
    /// A patch from inside this process.
    Patch { kind: PatchKind, tree: Json },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    Json,
    Merge,
    Strategic,
    Apply,
}

/// Query parameters that writes take, read but not yet checked against each other.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub dry_run: bool,
    pub field_manager: Option<String>,
    pub field_validation: FieldValidation,
    pub force: Option<bool>,
    pub label_selector: Option<String>,
    pub field_selector: Option<String>,
    pub limit: Option<i64>,
    /// Where a `deletecollection` in pages goes on.
    pub token: Option<String>,
    pub user_agent: String,
    /// Who asks; the owner of the socket is in `system:masters`.
    pub user: User,
}

/// Somebody who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub uid: String,
    pub groups: Vec<String>,
    /// What else is known of him, by a key with a domain.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// As `authentication.k8s.io/v1` UserInfo.
    pub fn json(&self) -> Json {
        let mut tree = serde_json::json!({"username": self.name});
        if !self.uid.is_empty() {
            tree["uid"] = self.uid.as_str().into();
        }
        if !self.groups.is_empty() {
            tree["groups"] = self.groups.clone().into();
        }
        if !self.extra.is_empty() {
            tree["extra"] = serde_json::json!(self.extra);
        }
        tree
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

/// What a write may know of the world besides the state.
pub struct Env<'a> {
    pub now: Timestamp,
    pub random: &'a mut dyn Random,
    pub settings: &'a Settings,
}

/// How this server was started.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Admission plugins, by Kubernetes' names and `LocalSupport`.
    pub admission: Vec<String>,
    /// Where cluster IPs come from: a range of one family, or one of each, the default family's first.
    pub service_cidrs: Vec<String>,
    /// Where the API is reached from pods, if it is.
    pub api_address: Option<std::net::IpAddr>,
    /// Why a port of the machine cannot be opened now, if so: node ports that are given out are free there.
    pub port_is_taken: fn(u16) -> Option<String>,
    /// What namespaces enforce that do not say it (`--restrict`).
    pub pod_security: PodSecurityLevel,
}

impl Default for Settings {
    /// What a server has that is told nothing else.
    fn default() -> Self {
        let admission = [
            "NamespaceLifecycle",
            "LimitRanger",
            "ServiceAccount",
            "Priority",
            "DefaultTolerationSeconds",
            "StorageObjectInUseProtection",
            "PodSecurity",
            "ResourceQuota",
            "LocalSupport",
        ];
        Settings {
            admission: admission.map(str::to_owned).to_vec(),
            service_cidrs: vec!["10.96.0.0/16".into()],
            api_address: None,
            port_is_taken: |_| None,
            pod_security: PodSecurityLevel::default(),
        }
    }
}

/// What the write answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub code: u16,
    pub body: Json,
    /// Texts of `Warning` headers.
    pub warnings: Vec<String>,
}

/// Carries the write out on `state`. On `Err`, and on a dry run, the state is as before.
pub fn execute(state: &mut State, request: &Request, env: &mut Env<'_>) -> Result<Answer, Status> {
    let mut working = state.clone();
    let answer = carry_out(Run::new(&mut working, request, env))?;
    if !request.options.dry_run {
        admit::settle(&mut Run::new(&mut working, request, env));
        custom::settle::settle(&mut Run::new(&mut working, request, env));
        *state = working;
    }
    Ok(answer)
}

/// The warnings of a server-side apply that surely leaves its object as it is, found by a look and nothing carried out. `None`
/// says nothing.
pub fn stays(state: &State, request: &Request, env: &Env<'_>) -> Option<Vec<String>> {
    patch::stays::stays(state, request, env)
}

/// Carries out a write that is a part of another one.
fn within(run: &mut Run<'_, '_>, request: &Request) -> Result<Answer, Status> {
    carry_out(Run::new(run.state, request, run.env))
}

fn carry_out(run: Run<'_, '_>) -> Result<Answer, Status> {
    match (run.request.verb, run.request.subresource.as_deref()) {
        (Verb::Create, None) if binding::is_of(&run.request.resource) => binding::create(run),
        (Verb::Create, None) if access::reviews::is_review(&run.request.resource) => access::reviews::create(run),
        (Verb::Create, None) => create::create(run),
        (Verb::Update, None) => update::update(run, Part::Main),
        (Verb::Update, Some("status")) => update::update(run, Part::Status),
        (Verb::Patch, None) => patch::patch(run, Part::Main),
        (Verb::Update, Some("scale")) => patch::scale::update(run),
        (Verb::Patch, Some("scale")) => patch::scale::patch(run),
        (Verb::Patch, Some("status")) => patch::patch(run, Part::Status),
        (Verb::Update, Some("ephemeralcontainers" | "resize" | "finalize")) => update::update(run, Part::Other),
        (Verb::Patch, Some("ephemeralcontainers" | "resize")) => patch::patch(run, Part::Other),
        (Verb::Create, Some("eviction")) => eviction::create(run),
        (Verb::Create, Some("binding")) => binding::create(run),
        (Verb::Create, Some("token")) => token::create(run),
        (Verb::Delete, None) => delete::delete(run),
        (Verb::DeleteCollection, None) => collection::delete_collection(run),
        _ => Err(Status::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")),
    }
}

#[cfg(test)]
mod properties;
