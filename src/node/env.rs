//! A container's environment: services, envFrom, env, and what they refer to.
//! Source: pkg/kubelet/kubelet_pods.go (makeEnvironmentVariables), pkg/kubelet/envvars/envvars.go.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvFromSource, EnvVarSource, Pod, Service};

use super::fields::{self, Addresses};
use super::{Context, expansion};
use crate::api::{GroupResource, Json, Key, Object};
use crate::state::State;

/// Name and value, in order; later ones win.
pub type Env = Vec<(String, String)>;

/// The whole environment of a container; `Err`: why it cannot be had (CreateContainerConfigError).
pub fn environment(
    pod: &Pod,
    container: &Container,
    addresses: &Addresses,
    context: &Context<'_>,
) -> Result<Env, String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let links = pod.spec.as_ref().and_then(|s| s.enable_service_links).unwrap_or(true);
    let services = services(context.state, namespace, links);
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    let mut env = Env::new();
    for source in container.env_from.iter().flatten() {
        for (name, value) in from_source(context.state, namespace, source)? {
            known.insert(name.clone(), value.clone());
            env.push((name, value));
        }
    }
    for var in container.env.iter().flatten() {
        let value = match &var.value_from {
            Some(source) => match value_from(pod, container, source, addresses, context)? {
                Some(value) => value,
                None => continue,
            },
            None => expansion::expand(var.value.as_deref().unwrap_or_default(), |name| {
                known.get(name).or_else(|| services.get(name)).cloned()
            }),
        };
        known.insert(var.name.clone(), value.clone());
        env.push((var.name.clone(), value));
    }
    let mut all: Env = services.into_iter().filter(|(name, _)| !known.contains_key(name)).collect();
    all.append(&mut env);
    Ok(all)
}

/// Command or arguments with `$(NAME)` replaced.
pub fn expand_all(list: Option<&Vec<String>>, env: &Env) -> Vec<String> {
    let lookup = |name: &str| env.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.clone());
    list.into_iter().flatten().map(|text| expansion::expand(text, lookup)).collect()
}

pub(super) fn config_map<'a>(state: &'a State, namespace: &str, name: &str) -> Option<&'a Object> {
    state.get(&Key::new(GroupResource::new("", "configmaps"), namespace, name)).map(AsRef::as_ref)
}

pub(super) fn secret<'a>(state: &'a State, namespace: &str, name: &str) -> Option<&'a Object> {
    state.get(&Key::new(GroupResource::new("", "secrets"), namespace, name)).map(AsRef::as_ref)
}

/// The bytes of one key of a ConfigMap (`data`, then `binaryData`).
pub(super) fn config_map_key(object: &Object, key: &str) -> Option<Vec<u8>> {
    let text = object.at("/data").and_then(|d| d.get(key)).and_then(Json::as_str);
    text.map(|t| t.as_bytes().to_vec()).or_else(|| decoded(object.at("/binaryData")?.get(key)?))
}

/// The bytes of one key of a Secret.
pub(super) fn secret_key(object: &Object, key: &str) -> Option<Vec<u8>> {
    decoded(object.at("/data")?.get(key)?)
}

fn decoded(value: &Json) -> Option<Vec<u8>> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(value.as_str()?).ok()
}

pub(super) fn keys(object: &Object, pointer: &str) -> Vec<String> {
    object.at(pointer).and_then(Json::as_object).into_iter().flatten().map(|(key, _)| key.clone()).collect()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

fn from_source(state: &State, namespace: &str, source: &EnvFromSource) -> Result<Env, String> {
    let prefix = source.prefix.as_deref().unwrap_or_default();
    let mut env = Env::new();
    let mut take = |key: String, value: Option<Vec<u8>>| {
        let name = format!("{prefix}{key}");
        if let Some(value) = value.filter(|_| is_env_name(&name)) {
            env.push((name, text(value)));
        }
    };
    if let Some(reference) = &source.config_map_ref {
        let Some(object) = config_map(state, namespace, &reference.name) else {
            return missing(reference.optional, || format!("configmap \"{}\" not found", reference.name));
        };
        for key in keys(object, "/data") {
            take(key.clone(), config_map_key(object, &key));
        }
    } else if let Some(reference) = &source.secret_ref {
        let Some(object) = secret(state, namespace, &reference.name) else {
            return missing(reference.optional, || format!("secret \"{}\" not found", reference.name));
        };
        for key in keys(object, "/data") {
            take(key.clone(), secret_key(object, &key));
        }
    }
    Ok(env)
}

fn missing(optional: Option<bool>, message: impl FnOnce() -> String) -> Result<Env, String> {
    if optional == Some(true) { Ok(Env::new()) } else { Err(message()) }
}

/// Printable ASCII without `=`.
/// Source: apimachinery/pkg/util/validation: IsRelaxedEnvVarName.
fn is_env_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| (0x20..=0x7e).contains(&b) && b != b'=')
}

fn value_from(
    pod: &Pod,
    container: &Container,
    source: &EnvVarSource,
    addresses: &Addresses,
    context: &Context<'_>,
) -> Result<Option<String>, String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    if let Some(reference) = &source.field_ref {
        return fields::field(pod, &reference.field_path, addresses).map(Some);
    }
    if let Some(selector) = &source.resource_field_ref {
        let spec = pod.spec.as_ref().ok_or("the pod has no spec")?;
        return fields::resource(spec, Some(container), selector, context).map(Some);
    }
    if let Some(reference) = &source.config_map_key_ref {
        let optional = reference.optional == Some(true);
        let Some(object) = config_map(context.state, namespace, &reference.name) else {
            return absent(optional, format!("configmap \"{}\" not found", reference.name));
        };
        let value = object.at("/data").and_then(|d| d.get(&reference.key)).and_then(Json::as_str);
        return match value {
            Some(value) => Ok(Some(value.to_owned())),
            None => absent(
                optional,
                format!("couldn't find key {} in ConfigMap {namespace}/{}", reference.key, reference.name),
            ),
        };
    }
    if let Some(reference) = &source.secret_key_ref {
        let optional = reference.optional == Some(true);
        let Some(object) = secret(context.state, namespace, &reference.name) else {
            return absent(optional, format!("secret \"{}\" not found", reference.name));
        };
        return match secret_key(object, &reference.key) {
            Some(value) => Ok(Some(text(value))),
            None => absent(
                optional,
                format!("couldn't find key {} in Secret {namespace}/{}", reference.key, reference.name),
            ),
        };
    }
    if source.file_key_ref.is_some() {
        return Err("environment variables from files of a volume are not supported on this node".into());
    }
    Ok(Some(String::new()))
}

fn absent(optional: bool, message: String) -> Result<Option<String>, String> {
    if optional { Ok(None) } else { Err(message) }
}

/// Variables of the Services with a cluster address: all of the namespace, or (without links) that of
/// the API server only.
fn services(state: &State, namespace: &str, links: bool) -> BTreeMap<String, String> {
    let resource = GroupResource::new("", "services");
    let master = state.get(&Key::new(resource.clone(), "default", "kubernetes"));
    let own = state.in_namespace(&resource, namespace).filter(|_| links);
    // One of the namespace's own takes the place of the API server's whole.
    let mut by_name = BTreeMap::new();
    for object in master.into_iter().chain(own) {
        if let Some(service) = object.typed::<Service>().ok().filter(|service| has_address(service)) {
            by_name.insert(object.name(), service);
        }
    }
    let mut env = BTreeMap::new();
    by_name.into_iter().for_each(|(name, service)| service_variables(name, &service, &mut env));
    env
}

fn has_address(service: &Service) -> bool {
    let ip = service.spec.as_ref().and_then(|s| s.cluster_ip.as_deref());
    ip.is_some_and(|ip| !ip.is_empty() && ip != "None")
}

fn service_variables(name: &str, service: &Service, env: &mut BTreeMap<String, String>) {
    let Some(spec) = &service.spec else { return };
    let ip = spec.cluster_ip.as_deref().unwrap_or_default();
    let ports = spec.ports.as_deref().unwrap_or_default();
    let Some(first) = ports.first() else { return };
    let prefix = variable_name(name);
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
    env.insert(format!("{prefix}_SERVICE_HOST"), ip.to_owned());
    env.insert(format!("{prefix}_SERVICE_PORT"), first.port.to_string());
    for port in ports {
        let number = port.port;
        if let Some(port_name) = port.name.as_deref().filter(|n| !n.is_empty()) {
            env.insert(format!("{prefix}_SERVICE_PORT_{}", variable_name(port_name)), number.to_string());
        }
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let lower = protocol.to_lowercase();
        let base = format!("{prefix}_PORT_{number}_{}", protocol.to_uppercase());
        let url = format!("{lower}://{host}:{number}");
        if std::ptr::eq(port, first) {
            env.insert(format!("{prefix}_PORT"), url.clone());
        }
        env.insert(base.clone(), url);
        env.insert(format!("{base}_PROTO"), lower);
        env.insert(format!("{base}_PORT"), number.to_string());
        env.insert(format!("{base}_ADDR"), ip.to_owned());
    }
}

fn variable_name(name: &str) -> String {
    name.replace('-', "_").to_uppercase()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_of_the_namespaces_own_takes_the_place_of_the_api_servers() {
        let mut state = State::new();
        let mut serve = |namespace: &str, name: &str, ip: &str, port: i32| {
            let tree = json!({"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterIP": ip, "ports": [{"port": port}]}});
            state.put(Key::new(GroupResource::new("", "services"), namespace, name), Object::new(tree));
        };
        serve("default", "kubernetes", "10.0.0.1", 443);
        serve("default", "other", "10.0.0.2", 80);
        serve("own", "kubernetes", "10.0.0.3", 8443);
        serve("own", "headless", "None", 80);
        serve("bare", "kubernetes", "None", 80);
        let names = |namespace: &str, links: bool| -> Vec<String> { services(&state, namespace, links).into_keys().collect() };
        let of = |prefix: &str, port: i32| -> Vec<String> {
            let tcp = format!("{prefix}_PORT_{port}_TCP");
            let mut all = vec![format!("{prefix}_PORT"), tcp.clone()];
            all.extend(["ADDR", "PORT", "PROTO"].map(|end| format!("{tcp}_{end}")));
            all.extend(["HOST", "PORT"].map(|end| format!("{prefix}_SERVICE_{end}")));
            all
        };
        assert_eq!(names("own", true), of("KUBERNETES", 8443));
        assert_eq!(services(&state, "own", true)["KUBERNETES_SERVICE_HOST"], "10.0.0.3");
        assert_eq!(names("own", false), of("KUBERNETES", 443));
        assert_eq!(names("bare", true), of("KUBERNETES", 443), "one without an address counts as none");
        assert_eq!(names("default", true), [of("KUBERNETES", 443), of("OTHER", 80)].concat());
        assert_eq!(names("default", false), of("KUBERNETES", 443));
    }
}
