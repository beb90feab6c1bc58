//! The subresource `token` of a ServiceAccount: a signed token for whoever runs as it.
//! Source: pkg/registry/core/serviceaccount/storage/token.go, pkg/serviceaccount/claims.go.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::access::tokens::{self, ISSUER};
use super::run::Run;
use super::{Answer, body, metadata};
use crate::api::validation::field::{self, Path};
use crate::api::{GroupResource, Gvk, Json, Key, Object, Status};

/// Bounds of a token's life (pkg/apis/authentication/validation).
const LEAST_SECONDS: i64 = 600;
const MOST_SECONDS: i64 = 1 << 32;

/// Answers a TokenRequest.
pub(crate) fn create(mut run: Run<'_, '_>) -> Result<Answer, Status> {
    let gvk = Gvk::of("authentication.k8s.io/v1", "TokenRequest");
    let mut request = body::object_as(&mut run, &gvk)?;
    metadata::match_namespace(&run, &mut request)?;
    let name = run.request.name.clone();
    let account = run.get(&name)?;
    let seconds = request.i64_at("/spec/expirationSeconds").unwrap_or(3600);
    let path = Path::new("spec").child("expirationSeconds");
    let problem = if seconds < LEAST_SECONDS {
        Some("may not specify a duration less than 10 minutes")
    } else if seconds > MOST_SECONDS {
        Some("may not specify a duration larger than 2^32 seconds")
    } else {
        None
    };
    if let Some(detail) = problem {
        let errors = [field::invalid(&path, seconds, detail)];
        return Err(Status::invalid("authentication.k8s.io", "TokenRequest", "", &errors));
    }
    let bound = bound_object(&run, &request)?;
    let key = signing_key(&mut run);
    let id = metadata::uuid(run.env.random);
    let claims = claims(&run, &account, &request, bound.as_deref(), (seconds, &id));
    let token = tokens::sign(&claims, &key);
    let expires = run.env.now + jiff::SignedDuration::from_secs(seconds);
    let mut answer = request.into_json();
    answer["metadata"] = json!({"name": name, "namespace": run.request.namespace, "creationTimestamp": run.now()});
    answer["kind"] = json!("TokenRequest");
    answer["apiVersion"] = json!("authentication.k8s.io/v1");
    answer["spec"]["expirationSeconds"] = json!(seconds);
    answer["spec"]["audiences"] = claims["aud"].clone();
    answer["status"] =
        json!({"token": token, "expirationTimestamp": expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()});
    Ok(Answer { code: 201, body: answer, warnings: run.warnings })
}

/// The Pod or Secret that the token lives and dies with.
fn bound_object(run: &Run<'_, '_>, request: &Object) -> Result<Option<std::sync::Arc<Object>>, Status> {
    let Some(reference) = request.at("/spec/boundObjectRef").filter(|r| r.is_object()) else { return Ok(None) };
    let text = |key: &str| reference.get(key).and_then(Json::as_str).unwrap_or_default();
    let resource = match text("kind") {
        "Pod" => GroupResource::new("", "pods"),
        "Secret" => GroupResource::new("", "secrets"),
        "Node" => GroupResource::new("", "nodes"),
        kind => return Err(Status::bad_request(format!("cannot bind token to object of type {kind}"))),
    };
    let namespace = if text("kind") == "Node" { "" } else { run.request.namespace.as_str() };
    let key = Key::new(resource.clone(), namespace, text("name"));
    let found = run.state.get(&key).cloned().ok_or_else(|| Status::not_found(&resource, text("name")))?;
    if !text("uid").is_empty() && text("uid") != found.uid() {
        let why = format!(
            "the UID in the bound object reference ({}) does not match the UID in record. The object might have been deleted and then recreated",
            text("uid")
        );
        return Err(Status::conflict(&resource, text("name"), &why));
    }
    Ok(Some(found))
}

fn claims(run: &Run<'_, '_>, account: &Object, request: &Object, bound: Option<&Object>, (seconds, id): (i64, &str)) -> Json {
    let now = run.env.now.as_second();
    let audiences = request.at("/spec/audiences").filter(|a| a.as_array().is_some_and(|a| !a.is_empty())).cloned();
    let mut kubernetes = json!({
        "namespace": account.namespace(),
        "serviceaccount": {"name": account.name(), "uid": account.uid()},
    });
    if let Some(object) = bound {
        kubernetes[object.kind().to_lowercase()] = json!({"name": object.name(), "uid": object.uid()});
        // A Pod's token says on which node the Pod is.
        if let Some(node) = object.str_at("/spec/nodeName").filter(|n| !n.is_empty() && object.kind() == "Pod") {
            let key = Key::new(GroupResource::new("", "nodes"), "", node);
            kubernetes["node"] = match run.state.get(&key) {
                Some(found) => json!({"name": node, "uid": found.uid()}),
                None => json!({"name": node}),
            };
        }
    }
    json!({
        "aud": audiences.unwrap_or_else(|| json!([ISSUER])),
        "exp": now + seconds, "iat": now, "nbf": now, "iss": ISSUER,
        "jti": id, "kubernetes.io": kubernetes,
        "sub": format!("system:serviceaccount:{}:{}", account.namespace(), account.name()),
    })
}

/// The server's key, made when it is first needed and kept with the state.
fn signing_key(run: &mut Run<'_, '_>) -> Vec<u8> {
    if let Some(key) = tokens::key(run.state) {
        return key;
    }
    let key: Vec<u8> = (0..4).flat_map(|_| run.env.random.next_u64().to_be_bytes()).collect();
    let place = tokens::key_secret();
    let mut secret = Object::new(json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": &*place.name, "namespace": &*place.namespace},
        "data": {"key": STANDARD.encode(&key)},
    }));
    metadata::fill_new(run, &mut secret);
    run.state.put(place, secret);
    key
}
