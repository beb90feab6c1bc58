//! One write under way: what it may look at and change.

use std::sync::Arc;

use serde_json::json;

use super::{Answer, Env, Request};
use crate::api::{GroupResource, Gvk, Json, Key, Object, Status, validation::field::Errors};
use crate::state::State;

/// The state as the write changes it, and what it says besides its answer.
pub(crate) struct Run<'r, 'e> {
    pub state: &'r mut State,
    pub request: &'r Request,
    pub env: &'r mut Env<'e>,
    pub warnings: Vec<String>,
    /// The object in the body came without labels.
    pub unlabelled: bool,
}

impl<'r, 'e> Run<'r, 'e> {
    pub fn new(state: &'r mut State, request: &'r Request, env: &'r mut Env<'e>) -> Self {
        Run { state, request, env, warnings: Vec::new(), unlabelled: false }
    }
}

impl Run<'_, '_> {
    /// The kind as the request's path has it.
    pub fn gvk(&self) -> Gvk {
        self.request.resource.gvk()
    }

    /// Where the resource's objects are kept: some are kept once for two groups.
    pub fn kept_as(&self) -> GroupResource {
        super::conversion::kept_as(&self.request.resource)
    }

    /// As errors name the resource.
    pub fn group_resource(&self) -> GroupResource {
        self.request.resource.group_resource()
    }

    pub fn key(&self, name: &str) -> Key {
        Key::new(self.kept_as(), &self.request.namespace, name)
    }

    pub fn get(&self, name: &str) -> Result<Arc<Object>, Status> {
        let found = self.state.get(&self.key(name)).cloned();
        found.ok_or_else(|| Status::not_found(&self.group_resource(), name))
    }

    /// `Err` if there is anything wrong.
    pub fn refuse(&self, name: &str, errors: Errors) -> Result<(), Status> {
        if errors.is_empty() {
            return Ok(());
        }
        let gvk = self.gvk();
        let group = super::conversion::internal_group(&self.request.resource);
        let mut status = Status::invalid(group, &gvk.kind, name, &errors);
        status.warnings.clone_from(&self.warnings);
        Err(status)
    }

    pub fn warn(&mut self, texts: impl IntoIterator<Item = String>) {
        for text in texts {
            if !self.warnings.contains(&text) {
                self.warnings.push(text);
            }
        }
    }

    /// The present second as metadata writes it.
    pub fn now(&self) -> String {
        self.env.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// Answers with an object as it is kept, in the version that was asked for.
    pub fn answer(self, code: u16, object: &Object) -> Answer {
        let body = super::conversion::shown(&self.request.resource, object.json()).into_owned();
        Answer { code, body, warnings: self.warnings }
    }

    /// Answers that the object is gone.
    pub fn answer_deleted(self, object: &Object) -> Answer {
        let resource = &self.request.resource;
        let mut details = json!({"name": object.name(), "kind": resource.resource, "uid": object.uid()});
        if !resource.group.is_empty() {
            details["group"] = Json::from(resource.group.as_str());
        }
        let body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
        });
        Answer { code: 200, body, warnings: self.warnings }
    }
}
