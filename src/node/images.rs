//! Names of images, and when an image is pulled.
//! Source: pkg/util/parsers, github.com/distribution/reference, pkg/kubelet/images/image_manager.go.

use k8s_openapi::api::core::v1::{Container, Pod};

use super::Context;
use super::env::{secret, secret_key};
use crate::api::Json;
use crate::runtime::{ImageInfo, RegistryAuth};

/// The name is no name of an image. Displays as the reference parser says it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("invalid reference format")]
    Format,
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    UpperCase(String),
}

/// An image's name with `:latest` where it has neither tag nor digest.
pub fn normalise(image: &str) -> Result<String, NameError> {
    if image.len() > 4096 {
        return Err(NameError::Format);
    }
    let (rest, digest) = match image.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (image, None),
    };
    if digest.is_some_and(|d| !is_digest(d)) {
        return Err(NameError::Format);
    }
    let last_slash = rest.rfind('/').map_or(0, |i| i + 1);
    let (name, tag) = match rest[last_slash..].find(':') {
        Some(colon) => (&rest[..last_slash + colon], Some(&rest[last_slash + colon + 1..])),
        None => (rest, None),
    };
    if tag.is_some_and(|t| !is_tag(t)) {
        return Err(NameError::Format);
    }
    check_name(name)?;
    Ok(if tag.is_none() && digest.is_none() { format!("{image}:latest") } else { image.to_owned() })
}

fn check_name(name: &str) -> Result<(), NameError> {
    let (domain, path) = match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" || first.chars().any(|c| c.is_ascii_uppercase()) => {
            (Some(first), rest)
        }
        _ => (None, name),
    };
    if path.chars().any(|c| c.is_ascii_uppercase()) {
        return Err(NameError::UpperCase(path.to_owned()));
    }
    let domain_ok = domain.is_none_or(is_domain);
    if domain_ok && path.split('/').all(is_component) { Ok(()) } else { Err(NameError::Format) }
}

fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain.rsplit_once(':') {
        Some((host, port)) if !domain.ends_with(']') => (host, Some(port)),
        _ => (domain, None),
    };
    let label = |l: &str| {
        !l.is_empty()
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    let six = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let host_ok = six.map_or_else(|| host.split('.').all(label), |h| h.bytes().all(|b| b.is_ascii_hexdigit() || b == b':'));
    host_ok && port.is_none_or(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
}

/// Lower-case letters and digits, with `.`, `_`, `__` or any number of `-` between them.
fn is_component(component: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let ends = bytes.first().zip(bytes.last()).is_some_and(|(a, z)| alphanumeric(*a) && alphanumeric(*z));
    let separators = component.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    ends && separators.filter(|s| !s.is_empty()).all(|s| matches!(s, "." | "_" | "__") || s.bytes().all(|b| b == b'-'))
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let bytes = tag.as_bytes();
    (1..=128).contains(&bytes.len()) && word(bytes[0]) && bytes.iter().all(|b| word(*b) || matches!(b, b'.' | b'-'))
}

fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else { return false };
    let first = algorithm.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
    let rest = algorithm.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'+' | b'.'));
    let length_ok = if algorithm == "sha256" { hex.len() == 64 } else { hex.len() >= 32 };
    first && rest && length_ok && hex.bytes().all(|b| b.is_ascii_hexdigit())
}

/// When an image is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Always,
    IfNotPresent,
    Never,
}

/// The container's policy, or that of its tag.
pub fn policy(container: &Container, normalised: &str) -> Policy {
    match container.image_pull_policy.as_deref() {
        Some("Always") => Policy::Always,
        Some("Never") => Policy::Never,
        Some("IfNotPresent") => Policy::IfNotPresent,
        _ if normalised.ends_with(":latest") && !normalised.contains('@') => Policy::Always,
        _ => Policy::IfNotPresent,
    }
}

/// Whether an image that is here is of this machine only, so that no registry can have a newer one.
pub fn is_local(image: &str, info: &ImageInfo) -> bool {
    image.starts_with("localhost/") || info.digest_reference.starts_with("localhost/")
}

/// The pod's credentials for registries, and the names of pull secrets that do not exist.
pub fn credentials(pod: &Pod, context: &Context<'_>) -> (Vec<RegistryAuth>, Vec<String>) {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let references = pod.spec.as_ref().and_then(|s| s.image_pull_secrets.as_deref()).unwrap_or_default();
    let (mut auths, mut missing) = (Vec::new(), Vec::new());
    for reference in references.iter().filter(|r| !r.name.is_empty()) {
        let Some(object) = secret(context.state, namespace, &reference.name) else {
            missing.push(reference.name.clone());
            continue;
        };
        let modern = secret_key(object, ".dockerconfigjson").and_then(|b| serde_json::from_slice::<Json>(&b).ok());
        let list = match modern {
            Some(config) => config.get("auths").cloned(),
            None => secret_key(object, ".dockercfg").and_then(|b| serde_json::from_slice::<Json>(&b).ok()),
        };
        auths.extend(list.as_ref().and_then(Json::as_object).into_iter().flatten().filter_map(registry_auth));
    }
    (auths, missing)
}

fn registry_auth((registry, entry): (&String, &Json)) -> Option<RegistryAuth> {
    use base64::Engine;
    let text = |key: &str| entry.get(key).and_then(Json::as_str).map(str::to_owned);
    let pair = text("auth").and_then(|auth| {
        let bytes = base64::engine::general_purpose::STANDARD.decode(auth.trim()).ok()?;
        let decoded = String::from_utf8(bytes).ok()?;
        let (user, password) = decoded.split_once(':')?;
        Some((user.to_owned(), password.to_owned()))
    });
    let (username, password) = pair.or_else(|| Some((text("username")?, text("password")?)))?;
    Some(RegistryAuth { registry: registry.clone(), username, password })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_get_a_tag_or_are_refused() {
        for (name, expected) in [
            ("nginx", "nginx:latest"),
            ("nginx:1.27", "nginx:1.27"),
            ("reg.test:5000/a/b", "reg.test:5000/a/b:latest"),
            ("reg.test:5000/a/b:t", "reg.test:5000/a/b:t"),
            ("localhost/my__app-x", "localhost/my__app-x:latest"),
        ] {
            assert_eq!(normalise(name).as_deref(), Ok(expected));
        }
        let digest = format!("a/b@sha256:{}", "0".repeat(64));
        assert_eq!(normalise(&digest), Ok(digest.clone()));
        for bad in ["", "tool:::1", "-tool:1", "a//b", "a b", "a:", "a@sha256:12", "../x", "a/.b", "a___b", &format!("tool:{}", "a".repeat(129))] {
            assert_eq!(normalise(bad), Err(NameError::Format), "{bad}");
        }
        assert_eq!(normalise("localhost/Tool:1"), Err(NameError::UpperCase("Tool".into())));
    }

    #[test]
    fn a_tag_latest_or_none_is_always_pulled() {
        let container = Container::default();
        assert_eq!(policy(&container, "nginx:latest"), Policy::Always);
        assert_eq!(policy(&container, "nginx:1"), Policy::IfNotPresent);
    }
}
