//! Reviews: kinds that are asked, answered and never kept.
//! Source: pkg/registry/authorization, pkg/registry/authentication.

use serde_json::json;

use super::{Attributes, authorize, is_privileged, rbac, reviews_check, tokens};
use crate::api::tree::Tree;
use crate::api::{Json, JsonMap, Object, Resource, Status};
use crate::registry::run::Run;
use crate::registry::{Answer, User, admit, body, metadata};

/// Whether the resource is a review.
pub(crate) fn is_review(resource: &Resource) -> bool {
    matches!(resource.group.as_str(), "authorization.k8s.io" | "authentication.k8s.io")
}

/// Answers a review.
pub(crate) fn create(mut run: Run<'_, '_>) -> Result<Answer, Status> {
    let mut review = body::object(&mut run)?;
    metadata::match_namespace(&run, &mut review)?;
    admit::mutate(&mut run, admit::Operation::Create, &mut review, None)?;
    let status = match run.request.resource.resource.as_str() {
        "selfsubjectaccessreviews" => {
            reviews_check::refuse(&reviews_check::own(&review))?;
            access(&run, &run.request.options.user, &review)
        }
        "subjectaccessreviews" => {
            reviews_check::refuse(&reviews_check::subject(&review))?;
            access(&run, &named(&review), &review)
        }
        "localsubjectaccessreviews" => {
            reviews_check::refuse(&reviews_check::local(&review))?;
            access(&run, &named(&review), &review)
        }
        "selfsubjectrulesreviews" => rules(&run, &review)?,
        "selfsubjectreviews" => {
            let now = run.now();
            review.json_mut()["metadata"] = json!({"creationTimestamp": now});
            json!({"userInfo": run.request.options.user.json()})
        }
        "tokenreviews" => token(&run, &review)?,
        _ => return Err(Status::internal("this review is not known")),
    };
    review.json_mut()["status"] = status;
    Ok(Answer { code: 201, body: review.into_json(), warnings: run.warnings })
}

fn texts(tree: &Json, field: &str) -> Vec<String> {
    tree.texts(field).into_iter().map(str::to_owned).collect()
}

/// The user that a review asks about.
fn named(review: &Object) -> User {
    let spec = review.json().field("spec");
    User { name: spec.text("user").into(), groups: texts(spec, "groups"), uid: spec.text("uid").into(), ..User::default() }
}

/// What a review asks about (pkg/registry/authorization/util: ResourceAttributesFrom).
fn wanted(spec: &Json) -> Attributes {
    if spec.has("nonResourceAttributes") {
        let asked = spec.field("nonResourceAttributes");
        return Attributes {
            verb: asked.text("verb").into(),
            path: Some(asked.text("path").into()),
            ..Attributes::default()
        };
    }
    let asked = spec.field("resourceAttributes");
    let text = |name: &str| asked.text(name).to_owned();
    Attributes {
        verb: text("verb"),
        namespace: text("namespace"),
        group: text("group"),
        resource: text("resource"),
        subresource: text("subresource"),
        name: text("name"),
        path: None,
    }
}

fn access(run: &Run<'_, '_>, user: &User, review: &Object) -> Json {
    let verdict = authorize(run.state, user, &wanted(review.json().field("spec")));
    let mut status = json!({"allowed": verdict.allowed});
    if !verdict.reason.is_empty() {
        status["reason"] = verdict.reason.into();
    }
    status
}

/// All that the user may do in a namespace (pkg/registry/authorization/selfsubjectrulesreview).
fn rules(run: &Run<'_, '_>, review: &Object) -> Result<Json, Status> {
    let namespace = review.json().field("spec").text("namespace");
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let user = &run.request.options.user;
    let mut status = json!({"resourceRules": [], "nonResourceRules": [], "incomplete": false});
    if is_privileged(user) {
        add_rule(&mut status, &json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
        add_rule(&mut status, &json!({"verbs": ["*"], "nonResourceURLs": ["*"]}));
    }
    let mut errors = Vec::new();
    for grant in rbac::grants(run.state, user, namespace) {
        match grant.rules {
            Ok(rules) => rules.iter().for_each(|rule| add_rule(&mut status, rule)),
            Err(why) => errors.push(why),
        }
    }
    if !errors.is_empty() {
        let text = if let [one] = errors.as_slice() { one.clone() } else { format!("[{}]", errors.join(", ")) };
        status["evaluationError"] = text.into();
    }
    Ok(status)
}

fn add_rule(status: &mut Json, rule: &Json) {
    let part = |fields: &[&str]| {
        let mut part = JsonMap::new();
        for field in fields.iter().filter(|field| !rule.list(field).is_empty()) {
            part.insert((*field).into(), rule.field(field).clone());
        }
        Json::Object(part)
    };
    let mut push = |list: &str, part: Json| {
        if let Some(list) = status.get_mut(list).and_then(Json::as_array_mut)
            && !list.contains(&part)
        {
            list.push(part);
        }
    };
    if !rule.list("resources").is_empty() {
        push("resourceRules", part(&["verbs", "apiGroups", "resources", "resourceNames"]));
    }
    if !rule.list("nonResourceURLs").is_empty() {
        push("nonResourceRules", part(&["verbs", "nonResourceURLs"]));
    }
}

/// Whose token it is (pkg/registry/authentication/tokenreview).
fn token(run: &Run<'_, '_>, review: &Object) -> Result<Json, Status> {
    if !run.request.namespace.is_empty() {
        return Err(Status::bad_request("namespace is not allowed on this type"));
    }
    let spec = review.json().field("spec");
    if spec.text("token").is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    let audiences = texts(spec, "audiences");
    Ok(match tokens::user(run.state, spec.text("token"), &audiences, run.env.now) {
        Ok(known) => json!({"authenticated": true, "user": known.user.json(), "audiences": known.audiences}),
        Err(why) => json!({"user": {}, "error": why.text()}),
    })
}
