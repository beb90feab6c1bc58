//! How Kubernetes' printers write what several of them show: ages, labels, selectors, roles, access modes.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::Json;
use super::selector::LabelSelector;
use super::tree::Tree;

/// The annotation that came before `storageClassName`.
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
/// Either marks a class as the default: k8s.io/kubectl/pkg/util/storage/storage.go.
const DEFAULT_CLASS: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

/// `5s`, `3m2s`, `4d`. Source: k8s.io/apimachinery/pkg/util/duration/duration.go (`HumanDuration`).
pub fn human(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    if seconds < -1 {
        return "<invalid>".into();
    }
    if seconds < 0 {
        return "0s".into();
    }
    let two = |a: i64, unit: char, b: i64, small: char| {
        if b == 0 { format!("{a}{unit}") } else { format!("{a}{unit}{b}{small}") }
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match () {
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => two(minutes, 'm', seconds % 60, 's'),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => two(hours, 'h', minutes % 60, 'm'),
        () if hours < 48 => format!("{hours}h"),
        () if hours < 192 => two(hours / 24, 'd', hours % 24, 'h'),
        () if hours < 24 * 365 * 2 => format!("{}d", hours / 24),
        () if hours < 24 * 365 * 8 => two(hours / 24 / 365, 'y', hours / 24 % 365, 'd'),
        () => format!("{}y", hours / 24 / 365),
    }
}

/// How long ago a time was; `<unknown>` where there is none.
pub fn since(time: &str, now: Timestamp) -> String {
    match time.parse::<Timestamp>() {
        Ok(time) => human(now.duration_since(time)),
        Err(_) => "<unknown>".into(),
    }
}

/// `93m (x8 over 101m)`, or when an event was seen the first time.
/// Source: k8s.io/kubectl/pkg/cmd/events/event_printer.go (`getInterval`).
pub fn event_age(event: &Json, now: Timestamp) -> String {
    let first = match event.text("eventTime") {
        "" => since(event.text("firstTimestamp"), now),
        time => since(time, now),
    };
    let (last, count) = match (event.has("series"), event.int("count")) {
        (true, _) => (event.field("series").text("lastObservedTime"), event.field("series").int("count")),
        (false, count) if count > 1 => (event.text("lastTimestamp"), count),
        (false, _) => return first,
    };
    format!("{} (x{count} over {first})", since(last, now))
}

/// `a=b,c=d`, or `<none>`. Source: k8s.io/apimachinery/pkg/labels (`FormatLabels`).
pub fn labels(map: &Json) -> String {
    or_none(LabelSelector::of_map(Some(map)).to_string())
}

/// `a=b,x in (1,2),!y`, or `<none>`. Source: metav1.FormatLabelSelector.
pub fn selector(selector: &Json) -> String {
    LabelSelector::of(Some(selector)).map_or("<error>".into(), |s| or_none(s.to_string()))
}

fn or_none(text: String) -> String {
    if text.is_empty() { "<none>".into() } else { text }
}

/// The first `most` of a list, and how many more there are.
pub fn first(items: &[String], most: usize) -> String {
    if items.len() <= most {
        return items.join(",");
    }
    format!("{} + {} more...", items[..most].join(","), items.len() - most)
}

/// `127.0.0.1:80`, `[::1]:80`.
pub fn host_port(host: &str, port: impl std::fmt::Display) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Addresses or names that a load balancer got, each once. Source: printers.go (`loadBalancerStatusStringer`).
pub fn balancer(ingress: &[Json]) -> String {
    let given = ingress.iter().map(|i| if i.text("ip").is_empty() { i.text("hostname") } else { i.text("ip") });
    let given: BTreeSet<&str> = given.filter(|t| !t.is_empty()).collect();
    given.into_iter().collect::<Vec<_>>().join(",")
}

/// A node's roles, by its labels. Source: printers.go (`findNodeRoles`).
pub fn node_roles(labels: &Json) -> Vec<&str> {
    let mut roles: Vec<&str> = Vec::new();
    for (key, value) in labels.as_object().into_iter().flatten() {
        match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) if !role.is_empty() => roles.push(role),
            _ if key == "kubernetes.io/role" => roles.extend(value.as_str().filter(|v| !v.is_empty())),
            _ => {}
        }
    }
    roles.sort_unstable();
    roles.dedup();
    roles
}

/// `RWO,ROX`, always in the same order. Source: k8s.io/kubectl/pkg/util/storage/storage.go.
pub fn access_modes(modes: &[Json]) -> String {
    let known = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let has = |mode: &str| modes.iter().any(|m| m.as_str() == Some(mode));
    known.iter().filter(|(mode, _)| has(mode)).map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}

/// The class of a volume or a claim.
pub fn storage_class(object: &Json) -> &str {
    let beta = object.field("metadata").field("annotations").opt_text(BETA_CLASS);
    beta.unwrap_or_else(|| object.field("spec").text("storageClassName"))
}

/// Whether a storage class is the default one.
pub fn is_default_class(class: &Json) -> bool {
    let annotations = class.field("metadata").field("annotations");
    DEFAULT_CLASS.iter().any(|name| annotations.text(name) == "true")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn durations_are_written_as_kubernetes_writes_them() {
        for (seconds, text) in [
            (-5, "<invalid>"),
            (-1, "0s"),
            (119, "119s"),
            (120, "2m"),
            (182, "3m2s"),
            (600, "10m"),
            (3 * 3600, "3h"),
            (5 * 3600 + 120, "5h2m"),
            (47 * 3600, "47h"),
            (48 * 3600, "2d"),
            (50 * 3600, "2d2h"),
            (10 * 86400, "10d"),
            (800 * 86400, "2y70d"),
            (3650 * 86400, "10y"),
        ] {
            assert_eq!(human(SignedDuration::from_secs(seconds)), text, "{seconds}");
        }
    }

    #[test]
    fn selectors_stand_in_the_order_of_their_keys() {
        let rules = json!([{"key": "b", "operator": "In", "values": ["2", "1"]}, {"key": "a", "operator": "DoesNotExist"}]);
        assert_eq!(selector(&json!({"matchLabels": {"c": "d"}, "matchExpressions": rules})), "!a,b in (1,2),c=d");
        assert_eq!(selector(&json!({})), "<none>");
        assert_eq!(selector(&json!({"matchExpressions": [{"key": "a", "operator": "Odd"}]})), "<error>");
        assert_eq!(labels(&Json::Null), "<none>");
    }
}
