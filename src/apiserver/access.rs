//! Who asks, and whether he may: the owner of the socket is an administrator, who brings a service account's token
//! is that account, and an administrator may ask as somebody else.
//! Source: k8s.io/apiserver/pkg/endpoints/{request/requestinfo.go,filters/{authentication,authorization,impersonation}.go}.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::header::AUTHORIZATION;

use super::query::{Query, decode};
use super::{Call, Server};
use crate::api::Status;
use crate::registry::User;
use crate::registry::access::{self, AUTHENTICATED, Attributes, tokens};

const ACCOUNT: &str = "system:serviceaccount:";

/// Puts into the call who asks; `Err`: he is nobody, or may not.
pub(super) fn check(server: &Server, call: &mut Call) -> Result<(), Status> {
    if let Some(token) = bearer(call) {
        let known = tokens::user(&server.store.snapshot(), &token, &[], server.store.now());
        call.user = Arc::new(known.map_err(|_| unauthorized())?.user);
    }
    if let Some(other) = impersonated(call)? {
        for wish in impersonation(&other) {
            allow(server, &call.user, &wish)?;
        }
        call.user = Arc::new(other);
    }
    if access::is_privileged(&call.user) {
        return Ok(());
    }
    allow(server, &call.user, &wanted(call.method.as_str(), &call.path, &call.query))
}

fn allow(server: &Server, user: &User, wish: &Attributes) -> Result<(), Status> {
    let verdict = access::authorize(&server.store.snapshot(), user, wish);
    if verdict.allowed { Ok(()) } else { Err(wish.refusal(user, &verdict.reason)) }
}

fn unauthorized() -> Status {
    Status::new(401, "Unauthorized", "Unauthorized")
}

fn bearer(call: &Call) -> Option<String> {
    let text = call.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = text.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

/// The user that the `Impersonate-` headers name.
fn impersonated(call: &Call) -> Result<Option<User>, Status> {
    let all = |name: &str| -> Vec<String> {
        call.headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).map(str::to_owned).collect()
    };
    let name = all("impersonate-user").into_iter().next().unwrap_or_default();
    let mut groups = all("impersonate-group");
    let uid = all("impersonate-uid").into_iter().next().unwrap_or_default();
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (key, value) in &call.headers {
        if let (Some(key), Ok(value)) = (key.as_str().strip_prefix("impersonate-extra-"), value.to_str()) {
            extra.entry(decode(key, false)).or_default().push(value.to_owned());
        }
    }
    if name.is_empty() {
        if groups.is_empty() && uid.is_empty() && extra.is_empty() {
            return Ok(None);
        }
        let why = "requested impersonation without impersonating a user";
        return Err(Status::new(500, "InternalError", format!("Internal error occurred: {why}")));
    }
    let of_account = name.strip_prefix(ACCOUNT).and_then(|rest| rest.split_once(':'));
    if let Some((namespace, _)) = of_account.filter(|_| groups.is_empty()) {
        groups = vec!["system:serviceaccounts".into(), format!("system:serviceaccounts:{namespace}")];
    }
    let known = ["system:authenticated", "system:unauthenticated"];
    if name != "system:anonymous" && !groups.iter().any(|g| known.contains(&g.as_str())) {
        groups.push(AUTHENTICATED.into());
    }
    Ok(Some(User { name, uid, groups, extra }))
}

/// What must be allowed to somebody who asks as `user`.
fn impersonation(user: &User) -> Vec<Attributes> {
    let wish = |group: &str, resource: &str, name: &str| Attributes {
        verb: "impersonate".into(),
        group: group.into(),
        resource: resource.into(),
        name: name.into(),
        ..Attributes::default()
    };
    let mut wishes = Vec::new();
    match user.name.strip_prefix(ACCOUNT).and_then(|rest| rest.split_once(':')) {
        Some((namespace, name)) => {
            wishes.push(Attributes { namespace: namespace.into(), ..wish("", "serviceaccounts", name) });
        }
        None => wishes.push(wish("", "users", &user.name)),
    }
    // Groups that come with the name need no leave of their own.
    let own = |group: &&String| *group != AUTHENTICATED && !group.starts_with("system:serviceaccounts");
    wishes.extend(user.groups.iter().filter(own).map(|group| wish("", "groups", group)));
    if !user.uid.is_empty() {
        wishes.push(wish("authentication.k8s.io", "uids", &user.uid));
    }
    for (key, values) in &user.extra {
        let of_key = |value: &String| Attributes { subresource: key.clone(), ..wish("authentication.k8s.io", "userextras", value) };
        wishes.extend(values.iter().map(of_key));
    }
    wishes
}

/// What a method and a path ask for.
fn wanted(method: &str, path: &str, query: &Query) -> Attributes {
    of_resource(method, path, query)
        .unwrap_or_else(|| Attributes { verb: method.to_ascii_lowercase(), path: Some(path.to_owned()), ..Attributes::default() })
}

/// The wish for a resource (requestinfo.go: NewRequestInfo). `None`: the path is of none.
fn of_resource(method: &str, path: &str, query: &Query) -> Option<Attributes> {
    let parts: Vec<String> = path.trim_matches('/').split('/').map(|part| decode(part, false)).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (group, rest) = match parts.as_slice() {
        ["api", _, rest @ ..] => ("", rest),
        ["apis", group, _, rest @ ..] => (*group, rest),
        _ => return None,
    };
    let (watch, rest) = match rest {
        ["watch", rest @ ..] if !rest.is_empty() => (true, rest),
        rest => (false, rest),
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace] | ["namespaces", namespace, "status" | "finalize"] => (*namespace, rest),
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
        rest => ("", rest),
    };
    let part = |index: usize| rest.get(index).copied().unwrap_or("").to_owned();
    let (resource, name, subresource) = (part(0), part(1), part(2));
    if resource.is_empty() {
        return None;
    }
    let verb = match (method, name.is_empty()) {
        _ if watch => "watch",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "deletecollection",
        ("DELETE", false) => "delete",
        (_, true) if query.flag("watch") => "watch",
        (_, true) => "list",
        _ => "get",
    };
    let verb = verb.to_owned();
    Some(Attributes { verb, namespace: namespace.into(), group: group.into(), resource, subresource, name, path: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, path: &str, query: &str) -> String {
        let a = wanted(method, path, &Query::parse(query));
        match &a.path {
            Some(path) => format!("{} {path}", a.verb),
            None => format!("{} {}/{} ns={} name={}", a.verb, a.group, a.combined(), a.namespace, a.name),
        }
    }

    #[test]
    fn paths_are_wishes() {
        assert_eq!(check("GET", "/api/v1/namespaces/n/pods", ""), "list /pods ns=n name=");
        assert_eq!(check("GET", "/api/v1/namespaces/n/pods", "watch=1"), "watch /pods ns=n name=");
        assert_eq!(check("GET", "/api/v1/watch/namespaces/n/pods/p", ""), "watch /pods ns=n name=p");
        assert_eq!(check("POST", "/api/v1/namespaces/n/pods/p/exec", ""), "create /pods/exec ns=n name=p");
        assert_eq!(check("GET", "/api/v1/namespaces/n", ""), "get /namespaces ns=n name=n");
        assert_eq!(check("PUT", "/api/v1/namespaces/n/finalize", ""), "update /namespaces/finalize ns=n name=n");
        assert_eq!(check("DELETE", "/apis/apps/v1/namespaces/n/deployments", ""), "deletecollection apps/deployments ns=n name=");
        assert_eq!(check("GET", "/apis/apps/v1", ""), "get /apis/apps/v1");
        assert_eq!(check("GET", "/healthz", ""), "get /healthz");
    }
}
