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
    #[error("repository name must be lowercase")]
    UpperCaseSomewhere,
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    Identifier(String),
    #[error("repository name must not be more than {MAX_PATH} characters")]
    Long,
    #[error("unsupported digest algorithm")]
    DigestAlgorithm,
    #[error("invalid checksum digest length")]
    DigestLength,
    #[error("invalid checksum digest format")]
    DigestFormat,
}

/// Longest name of an image within its registry (reference.go: RepositoryNameTotalLengthMax).
const MAX_PATH: usize = 255;
/// Where names without a registry lead, and those without a folder there (normalize.go).
const DEFAULT_DOMAIN: &str = "docker.io";
const DEFAULT_FOLDER: &str = "library/";

/// An image's name with `:latest` where it has neither tag nor digest.
/// Source: github.com/distribution/reference: ParseNormalizedNamed, Parse.
pub fn normalise(image: &str) -> Result<String, NameError> {
    let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if image.len() == 64 && image.bytes().all(lower_hex) {
        return Err(NameError::Identifier(image.to_owned()));
    }
    let full = with_domain(image);
    let (domain, remainder) = full.split_once('/').unwrap_or(("", &full));
    let remote = remainder.split(':').next().unwrap_or_default();
    if remote.to_lowercase() != remote {
        return Err(NameError::UpperCase(remote.to_owned()));
    }
    let parsed = match parse(domain, remainder) {
        Some(parsed) => parsed,
        None if parse(&domain.to_lowercase(), &remainder.to_lowercase()).is_some() => return Err(NameError::UpperCaseSomewhere),
        None => return Err(NameError::Format),
    };
    if parsed.path_length > MAX_PATH {
        return Err(NameError::Long);
    }
    parsed.digest.map_or(Ok(()), check_digest)?;
    let bare = parsed.tag.is_none() && parsed.digest.is_none();
    Ok(if bare { format!("{image}:latest") } else { image.to_owned() })
}

/// The name with its registry before it.
fn with_domain(image: &str) -> String {
    let (domain, remainder) = match image.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" || first.to_lowercase() != first => (first, rest),
        _ => (DEFAULT_DOMAIN, image),
    };
    let domain = if domain == "index.docker.io" { DEFAULT_DOMAIN } else { domain };
    let folder = if domain == DEFAULT_DOMAIN && !remainder.contains('/') { DEFAULT_FOLDER } else { "" };
    format!("{domain}/{folder}{remainder}")
}

/// The parts of a well-formed name.
struct Parsed<'a> {
    path_length: usize,
    tag: Option<&'a str>,
    digest: Option<&'a str>,
}

fn parse<'a>(domain: &str, remainder: &'a str) -> Option<Parsed<'a>> {
    let (rest, digest) = match remainder.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (remainder, None),
    };
    let (path, tag) = match rest.split_once(':') {
        Some((path, tag)) => (path, Some(tag)),
        None => (rest, None),
    };
    let all_components = |path: &str| path.split('/').all(is_component);
    // What is no registry may still be a folder.
    let path_length = if is_domain(domain) { path.len() } else { domain.len() + 1 + path.len() };
    let good = all_components(path) && (is_domain(domain) || is_component(domain));
    (good && tag.is_none_or(is_tag) && digest.is_none_or(is_digest)).then_some(Parsed { path_length, tag, digest })
}

/// Source: github.com/opencontainers/go-digest: Validate.
fn check_digest(digest: &str) -> Result<(), NameError> {
    let (algorithm, hex) = digest.split_once(':').unwrap_or_default();
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ if algorithm.bytes().any(|b| b.is_ascii_uppercase()) => return Err(NameError::DigestFormat),
        _ => return Err(NameError::DigestAlgorithm),
    };
    if hex.len() != length {
        return Err(NameError::DigestLength);
    }
    if hex.bytes().any(|b| b.is_ascii_uppercase()) { Err(NameError::DigestFormat) } else { Ok(()) }
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

/// A digest by its form: words of letters and digits, each beginning with a letter, and at least 32 hexadecimal digits.
fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else { return false };
    let word = |w: &str| w.bytes().next().is_some_and(|b| b.is_ascii_alphabetic()) && w.bytes().all(|b| b.is_ascii_alphanumeric());
    algorithm.split(['-', '_', '+', '.']).all(word) && hex.len() >= 32 && hex.bytes().all(|b| b.is_ascii_hexdigit())
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
        let digest = |algorithm: &str, hex: &str| format!("a/b@{algorithm}:{hex}");
        let whole = digest("sha256", &"0".repeat(64));
        assert_eq!(normalise(&whole), Ok(whole.clone()));
        assert_eq!(normalise("fo_o.x/y").as_deref(), Ok("fo_o.x/y:latest"), "a folder, if not a registry");
        let long_tag = format!("tool:{}", "a".repeat(129));
        for bad in ["", "tool:::1", "-tool:1", "a//b", "a b", "a:", "a@sha256:12", "../x", "a/.b", "a___b", "http://url", "a@b", &long_tag] {
            assert_eq!(normalise(bad), Err(NameError::Format), "{bad}");
        }
        let upper = |name: &str| Err(NameError::UpperCase(name.into()));
        for (name, told) in [("localhost/Tool:1", "Tool"), ("Tool:1", "library/Tool"), ("a/Tool", "a/Tool"), ("Tool:::1", "library/Tool")] {
            assert_eq!(normalise(name), upper(told));
        }
        assert_eq!(normalise("Reg/tool").as_deref(), Ok("Reg/tool:latest"), "a registry's name");
        assert_eq!(normalise("Re_g/tool"), Err(NameError::UpperCaseSomewhere));
        let hex = "0a".repeat(32);
        assert_eq!(normalise(&hex), Err(NameError::Identifier(hex.clone())));
        assert_eq!(normalise(&"a/".repeat(128)[..255]), Ok(format!("{}:latest", &"a/".repeat(128)[..255])));
        assert_eq!(normalise(&format!("reg.test/{}", "a".repeat(256))), Err(NameError::Long));
        for (algorithm, hex, error) in [
            ("sha256", "0".repeat(63), NameError::DigestLength),
            ("sha256", "A".repeat(64), NameError::DigestFormat),
            ("md5", "0".repeat(32), NameError::DigestAlgorithm),
        ] {
            assert_eq!(normalise(&digest(algorithm, &hex)), Err(error));
        }
    }

    #[test]
    fn a_tag_latest_or_none_is_always_pulled() {
        let container = Container::default();
        assert_eq!(policy(&container, "nginx:latest"), Policy::Always);
        assert_eq!(policy(&container, "nginx:1"), Policy::IfNotPresent);
    }
}
