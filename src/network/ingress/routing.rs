//! Which rule a request falls under.
//! Source: kubernetes.io/docs/concepts/services-networking/ingress (path types, multiple matches, host names with wildcard).

use crate::network::config::{Backend, IngressConfig, IngressRule, PathKind};

/// Who a request goes to: the rules of the host that is named most exactly, and of these the longest path.
pub fn find<'c>(config: &'c IngressConfig, host: &str, path: &str) -> Option<&'c Backend> {
    let host = host.to_ascii_lowercase();
    let best = config.rules.iter().filter_map(|rule| host_rank(&rule.host, &host)).max();
    let of_host = config.rules.iter().filter(|rule| best.is_some() && host_rank(&rule.host, &host) == best);
    let mut found: Option<(&IngressRule, (usize, bool))> = None;
    for rule in of_host.filter(|rule| path_fits(rule, path)) {
        let rank = (rule.path.trim_end_matches('/').len(), rule.kind == PathKind::Exact);
        // Of equals the earlier one stays.
        if found.is_none_or(|(_, best)| rank > best) {
            found = Some((rule, rank));
        }
    }
    found.map(|(rule, _)| &rule.backend).or(config.default_backend.as_ref())
}

/// How exactly a rule names a host: 2 by its name, 1 by a wildcard, 0 not at all; `None`: it is another's.
fn host_rank(rule: &str, host: &str) -> Option<u8> {
    if rule.is_empty() {
        return Some(0);
    }
    if rule.eq_ignore_ascii_case(host) {
        return Some(2);
    }
    covers(rule, host).then_some(1)
}

/// Whether `*.foo.com` stands for a name: it does for one label, no more and no less.
pub fn covers(wildcard: &str, host: &str) -> bool {
    let Some(domain) = wildcard.strip_prefix("*.") else { return false };
    host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(domain))
}

fn path_fits(rule: &IngressRule, path: &str) -> bool {
    match rule.kind {
        PathKind::Exact => rule.path == path,
        PathKind::Prefix => {
            let prefix = rule.path.trim_end_matches('/');
            path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend(name: &str) -> Backend {
        Backend { namespace: "a".into(), service: name.into(), port: 80 }
    }

    fn config(rules: &[(&str, &str, PathKind, &str)]) -> IngressConfig {
        let rules = rules.iter().map(|(host, path, kind, name)| IngressRule {
            host: (*host).into(),
            path: (*path).into(),
            kind: *kind,
            backend: backend(name),
        });
        IngressConfig { rules: rules.collect(), ..IngressConfig::default() }
    }

    fn fits(kind: PathKind, rule: &str, path: &str) -> bool {
        find(&config(&[("", rule, kind, "x")]), "any", path).is_some()
    }

    /// The table of examples in Kubernetes' documentation.
    #[test]
    fn paths_fit_as_documented() {
        use PathKind::{Exact, Prefix};
        for (kind, rule, path, expected) in [
            (Prefix, "/", "/any/path", true),
            (Exact, "/foo", "/foo", true),
            (Exact, "/foo", "/bar", false),
            (Exact, "/foo", "/foo/", false),
            (Exact, "/foo/", "/foo", false),
            (Prefix, "/foo", "/foo", true),
            (Prefix, "/foo", "/foo/", true),
            (Prefix, "/foo/", "/foo", true),
            (Prefix, "/foo/", "/foo/", true),
            (Prefix, "/aaa/bb", "/aaa/bbb", false),
            (Prefix, "/aaa/bbb", "/aaa/bbb", true),
            (Prefix, "/aaa/bbb/", "/aaa/bbb", true),
            (Prefix, "/aaa/bbb", "/aaa/bbb/", true),
            (Prefix, "/aaa/bbb", "/aaa/bbb/ccc", true),
            (Prefix, "/aaa/bbb", "/aaa/bbbxyz", false),
            (Prefix, "/aaa", "/ccc", false),
        ] {
            assert_eq!(fits(kind, rule, path), expected, "{kind:?} {rule} {path}");
        }
    }

    #[test]
    fn wildcards_stand_for_one_label() {
        for (rule, host, expected) in [
            ("*.foo.com", "bar.foo.com", true),
            ("*.foo.com", "baz.bar.foo.com", false),
            ("*.foo.com", "foo.com", false),
            ("*.foo.com", ".foo.com", false),
            ("foo.com", "foo.com", false),
        ] {
            assert_eq!(covers(rule, host), expected, "{rule} {host}");
        }
    }

    #[test]
    fn the_most_exact_host_then_the_longest_path_is_taken() {
        use PathKind::{Exact, Prefix};
        let mut config = config(&[
            ("", "/", Prefix, "any"),
            ("*.shop.test", "/", Prefix, "wild"),
            ("a.shop.test", "/api", Prefix, "api"),
            ("a.shop.test", "/api/v1", Prefix, "v1"),
            ("a.shop.test", "/api/v1", Exact, "v1-exact"),
            ("a.shop.test", "/api", Prefix, "api-too"),
        ]);
        let to = |config: &IngressConfig, host: &str, path: &str| find(config, host, path).map(|b| b.service.clone());
        assert_eq!(to(&config, "other.test", "/x").as_deref(), Some("any"));
        assert_eq!(to(&config, "b.shop.test", "/x").as_deref(), Some("wild"));
        assert_eq!(to(&config, "A.Shop.test", "/api/x").as_deref(), Some("api"));
        assert_eq!(to(&config, "a.shop.test", "/api/v1/x").as_deref(), Some("v1"));
        assert_eq!(to(&config, "a.shop.test", "/api/v1").as_deref(), Some("v1-exact"));
        assert_eq!(to(&config, "a.shop.test", "/"), None);
        config.default_backend = Some(backend("default"));
        assert_eq!(to(&config, "a.shop.test", "/").as_deref(), Some("default"));
    }
}
