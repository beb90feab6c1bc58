//! From Ingress objects to rules.

use base64::Engine;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::{Ingress, IngressBackend};

use super::compile::Publish;
use super::config::{Backend, Certificate, IngressConfig, IngressRule, PathKind};
use crate::api::{GroupResource, Key};
use crate::state::State;

/// All rules of all Ingresses, older ones first.
pub(super) fn compile_ingress(state: &State, publish: &Publish) -> IngressConfig {
    let resource = GroupResource::new("networking.k8s.io", "ingresses");
    let mut all: Vec<_> = state.all(&resource).filter_map(|object| object.typed::<Ingress>().ok()).collect();
    all.sort_by_cached_key(|ingress| {
        let meta = &ingress.metadata;
        (meta.creation_timestamp.as_ref().map(|t| t.0), meta.namespace.clone(), meta.name.clone())
    });
    let mut config = IngressConfig::default();
    for ingress in &all {
        let namespace = ingress.metadata.namespace.as_deref().unwrap_or_default();
        let Some(spec) = &ingress.spec else { continue };
        let default = spec.default_backend.as_ref().and_then(|b| backend(state, namespace, b));
        config.default_backend = config.default_backend.or(default);
        for rule in spec.rules.iter().flatten() {
            for path in rule.http.iter().flat_map(|http| &http.paths) {
                let Some(backend) = backend(state, namespace, &path.backend) else { continue };
                config.rules.push(IngressRule {
                    host: rule.host.clone().unwrap_or_default(),
                    path: path.path.clone().filter(|p| !p.is_empty()).unwrap_or_else(|| "/".into()),
                    // What "ImplementationSpecific" means is ours to say: a prefix.
                    kind: if path.path_type == "Exact" { PathKind::Exact } else { PathKind::Prefix },
                    backend,
                });
            }
        }
        for tls in spec.tls.iter().flatten() {
            let Some(name) = &tls.secret_name else { continue };
            config.certificates.extend(certificate(state, namespace, name, tls.hosts.clone().unwrap_or_default()));
        }
    }
    if !all.is_empty() {
        config.http = Some((publish.address, publish.http).into());
    }
    if !config.certificates.is_empty() {
        config.https = Some((publish.address, publish.https).into());
    }
    config
}

/// `None`: no Service (a resource backend is another controller's).
fn backend(state: &State, namespace: &str, backend: &IngressBackend) -> Option<Backend> {
    let service = backend.service.as_ref()?;
    let port = service.port.as_ref()?;
    let number = port.number.or_else(|| {
        let key = Key::new(GroupResource::new("", "services"), namespace, &service.name);
        let object = state.get(&key)?.typed::<Service>().ok()?;
        let ports = object.spec.as_ref()?.ports.iter().flatten();
        ports.into_iter().find(|p| p.name == port.name).map(|p| p.port)
    });
    Some(Backend {
        namespace: namespace.to_owned(),
        service: service.name.clone(),
        port: number.and_then(|n| u16::try_from(n).ok()).unwrap_or(0),
    })
}

fn certificate(state: &State, namespace: &str, name: &str, hosts: Vec<String>) -> Option<Certificate> {
    let key = Key::new(GroupResource::new("", "secrets"), namespace, name);
    let secret = state.get(&key)?;
    // The typed view would be kept with the secret.
    let text = |field: &str| {
        let encoded = secret.at("/data")?.get(field)?.as_str()?;
        String::from_utf8(base64::engine::general_purpose::STANDARD.decode(encoded).ok()?).ok()
    };
    Some(Certificate { hosts, chain: text("tls.crt")?, key: text("tls.key")? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Object;
    use serde_json::{Value, json};

    fn state(objects: &[(&str, &str, Value)]) -> State {
        let mut state = State::new();
        for (group, resource, tree) in objects {
            let object = Object::new(tree.clone());
            state.put(Key::new(GroupResource::new(group, resource), object.namespace(), object.name()), object);
        }
        state
    }

    fn ingress(name: &str, at: &str, spec: Value) -> (&'static str, &'static str, Value) {
        let tree = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "spec": spec,
            "metadata": {"namespace": "a", "name": name, "creationTimestamp": at},
        });
        ("networking.k8s.io", "ingresses", tree)
    }

    fn publish() -> Publish {
        Publish { address: [127, 0, 0, 1].into(), http: 8080, https: 8443 }
    }

    #[test]
    fn rules_have_the_numbers_of_named_ports_and_the_older_come_first() {
        let to = |service: &str, port: Value| json!({"service": {"name": service, "port": port}});
        let path = |path: &str, kind: &str, backend: Value| json!({"path": path, "pathType": kind, "backend": backend});
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "a", "name": "web"},
            "spec": {"ports": [{"name": "http", "port": 80}]},
        });
        let rules = json!([{"host": "x.test", "http": {"paths": [
            path("/", "Prefix", to("web", json!({"name": "http"}))),
            path("/b", "Exact", to("web", json!({"name": "gone"}))),
        ]}}]);
        let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "a", "name": "cert"},
            "data": {"tls.crt": encode("CHAIN"), "tls.key": encode("KEY")},
        });
        let state = state(&[
            ("", "services", service),
            ("", "secrets", secret),
            ingress("a-younger", "2026-01-02T00:00:00Z", json!({"defaultBackend": to("second", json!({"number": 1}))})),
            ingress("b-older", "2026-01-01T00:00:00Z", json!({
                "defaultBackend": to("first", json!({"number": 1})), "rules": rules,
                "tls": [{"hosts": ["x.test"], "secretName": "cert"}, {"secretName": "gone"}],
            })),
        ]);
        let made = compile_ingress(&state, &publish());
        let ports: Vec<u16> = made.rules.iter().map(|r| r.backend.port).collect();
        assert_eq!(ports, [80, 0]);
        assert_eq!(made.default_backend.map(|b| b.service).as_deref(), Some("first"));
        assert_eq!((made.certificates.len(), made.certificates[0].key.as_str()), (1, "KEY"));
        assert_eq!(made.https.map(|at| at.port()), Some(8443));
        assert_eq!(compile_ingress(&State::new(), &publish()), IngressConfig::default());
    }
}
