//! Names of images, by the grammar of the distribution project (`reference.Parse`), and where a short one is looked for.

/// Longest name without tag and digest.
const LONGEST_NAME: usize = 255;
const DEFAULT_REGISTRY: &str = "docker.io";
const LOCAL_REGISTRY: &str = "localhost";

/// A parsed name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageName {
    registry: Option<String>,
    path: String,
    tag: Option<String>,
    digest: Option<String>,
}

impl ImageName {
    /// Parses what a pod's `image` holds; the error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("couldn't parse image name {text:?}: invalid reference format");
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest).filter(|d| is_digest(d)).ok_or_else(wrong)?),
            None => (text, ""),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag).filter(|t| is_tag(t)).ok_or_else(wrong)?),
            _ => (rest, ""),
        };
        let (registry, path) = match name.split_once('/') {
            Some((first, path)) if is_registry(first) => (Some(first), path),
            _ => (None, name),
        };
        let fits = name.len() <= LONGEST_NAME && path.split('/').all(is_component) && registry.is_none_or(is_host);
        // 64 hexadecimal digits would be an id.
        if !fits || (registry.is_none() && path.len() == 64 && path.bytes().all(|b| b.is_ascii_hexdigit())) {
            return Err(wrong());
        }
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Ok(Self { registry: registry.map(str::to_owned), path: path.to_owned(), tag: some(tag), digest: some(digest) })
    }

    /// Where it is looked for on this machine, in order: a short name is `localhost/`'s, else `docker.io`'s.
    pub fn candidates(&self) -> Vec<String> {
        match self.registry {
            None => vec![self.reference(LOCAL_REGISTRY, &self.path), self.remote()],
            Some(_) => vec![self.remote()],
        }
    }

    /// The whole name by which a registry is asked.
    pub fn remote(&self) -> String {
        match self.registry.as_deref() {
            None | Some(DEFAULT_REGISTRY | "index.docker.io") => {
                let library = if self.path.contains('/') { "" } else { "library/" };
                self.reference(DEFAULT_REGISTRY, &format!("{library}{}", self.path))
            }
            Some(registry) => self.reference(registry, &self.path),
        }
    }

    /// The registry it comes from.
    pub fn registry(&self) -> &str {
        match self.registry.as_deref() {
            None | Some("index.docker.io") => DEFAULT_REGISTRY,
            Some(registry) => registry,
        }
    }

    /// `localhost/…` is a name that nothing is fetched by.
    pub fn is_local(&self) -> bool {
        self.registry.as_deref() == Some(LOCAL_REGISTRY)
    }

    /// A registry on this machine's loopback speaks plain HTTP, as it may for containerd and Docker.
    pub fn is_on_loopback(&self) -> bool {
        let host = self.registry().rsplit_once(':').map_or(self.registry(), |(host, _)| host);
        host == LOCAL_REGISTRY || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()) || host == "[::1]"
    }

    /// A digest names the image alone: Podman takes no tag beside it.
    fn reference(&self, registry: &str, path: &str) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => format!("{registry}/{path}@{digest}"),
            (None, Some(tag)) => format!("{registry}/{path}:{tag}"),
            (None, None) => format!("{registry}/{path}:latest"),
        }
    }
}

fn is_registry(first: &str) -> bool {
    first.contains(['.', ':']) || first == LOCAL_REGISTRY || first.bytes().any(|b| b.is_ascii_uppercase())
}

fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let label = |l: &str| {
        let inner = l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        !l.is_empty() && inner && !l.starts_with('-') && !l.ends_with('-')
    };
    let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let host_fits = match bracketed {
        Some(ip) => ip.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(label),
    };
    host_fits && port.is_none_or(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
fn is_component(text: &str) -> bool {
    let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut rest = text.as_bytes();
    loop {
        let word = rest.iter().take_while(|b| alnum(**b)).count();
        if word == 0 {
            return false;
        }
        rest = &rest[word..];
        let between = rest.iter().take_while(|b| !alnum(**b)).count();
        match &rest[..between] {
            [] => return rest.is_empty(),
            b"." | b"_" | b"__" => {}
            dashes if dashes.iter().all(|b| *b == b'-') => {}
            _ => return false,
        }
        rest = &rest[between..];
    }
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=128).contains(&text.len())
        && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
        && text.bytes().next().is_some_and(word)
}

fn is_digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else { return false };
    let lengths: &[usize] = match algorithm {
        "sha256" => &[64],
        "sha384" => &[96],
        "sha512" => &[128],
        _ => return false,
    };
    lengths.contains(&hex.len()) && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn remote(text: &str) -> String {
        ImageName::parse(text).map_or_else(|e| e, |n| n.remote())
    }

    #[test]
    fn short_names_become_whole_ones() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, whole) in [
            ("nginx", "docker.io/library/nginx:latest".to_owned()),
            ("nginx:1.27", "docker.io/library/nginx:1.27".to_owned()),
            ("grafana/grafana", "docker.io/grafana/grafana:latest".to_owned()),
            ("docker.io/nginx", "docker.io/library/nginx:latest".to_owned()),
            ("index.docker.io/a/b:c", "docker.io/a/b:c".to_owned()),
            ("quay.io/a/b", "quay.io/a/b:latest".to_owned()),
            ("localhost:5055/x/bb:v1", "localhost:5055/x/bb:v1".to_owned()),
            ("localhost/web", "localhost/web:latest".to_owned()),
            ("[::1]:5000/a", "[::1]:5000/a:latest".to_owned()),
            (&format!("nginx:1@{digest}"), format!("docker.io/library/nginx@{digest}")),
        ] {
            assert_eq!(remote(text), whole, "{text}");
        }
        let short = ImageName::parse("web:1").expect("a name");
        assert_eq!(short.candidates(), ["localhost/web:1", "docker.io/library/web:1"]);
        assert!(ImageName::parse("127.0.0.1:5/x").expect("a name").is_on_loopback());
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", "A", "a b", "a//b", "/a", "a/", "a:", "a:b:c", "-a", "a-", "a___b", "a@sha256:1", "a@", "http://a/b", "é", "../../x", &"0".repeat(64)] {
            assert!(ImageName::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_whole_name_stays_as_it_is(text in "[a-z0-9.:/@_-]{1,40}") {
            if let Ok(name) = ImageName::parse(&text) {
                let whole = name.remote();
                prop_assert_eq!(ImageName::parse(&whole).map(|n| n.remote()), Ok(whole));
            }
        }
    }
}
