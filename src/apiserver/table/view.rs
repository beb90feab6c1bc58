//! One object under a printer's eyes: fields by pointer, ages, and the ways printers write things.
//! Source: k8s.io/apimachinery/pkg/util/duration/duration.go, k8s.io/apimachinery/pkg/labels.

use jiff::{SignedDuration, Timestamp};

use crate::api::Json;

/// An object and the time it is looked at.
pub(super) struct View<'o> {
    pub object: &'o Json,
    pub now: Timestamp,
}

impl<'o> View<'o> {
    pub fn at(&self, pointer: &str) -> Option<&'o Json> {
        self.object.pointer(pointer).filter(|v| !v.is_null())
    }

    pub fn text(&self, pointer: &str) -> &'o str {
        text(self.object, pointer)
    }

    /// The text, or what printers write where there is none.
    pub fn text_or(&self, pointer: &str, missing: &'o str) -> &'o str {
        Some(self.text(pointer)).filter(|t| !t.is_empty()).unwrap_or(missing)
    }

    pub fn int(&self, pointer: &str) -> i64 {
        int(self.object, pointer)
    }

    pub fn list(&self, pointer: &str) -> &'o [Json] {
        list(self.object, pointer)
    }

    pub fn count(&self, pointer: &str) -> usize {
        match self.at(pointer) {
            Some(Json::Object(map)) => map.len(),
            Some(Json::Array(items)) => items.len(),
            _ => 0,
        }
    }

    /// How long ago a time was; `<unknown>` where there is none.
    pub fn age(&self, pointer: &str) -> String {
        self.since(self.text(pointer))
    }

    pub fn since(&self, time: &str) -> String {
        match time.parse::<Timestamp>() {
            Ok(time) => human(self.now.duration_since(time)),
            Err(_) => "<unknown>".into(),
        }
    }

    /// The usual age.
    pub fn own_age(&self) -> Json {
        Json::from(self.age("/metadata/creationTimestamp"))
    }

    pub fn is_deleting(&self) -> bool {
        self.at("/metadata/deletionTimestamp").is_some()
    }

    /// The condition of a type.
    pub fn condition(&self, kind: &str) -> Option<&'o Json> {
        self.list("/status/conditions").iter().find(|c| text(c, "/type") == kind)
    }

    pub fn is_true(&self, kind: &str) -> bool {
        self.condition(kind).is_some_and(|c| text(c, "/status") == "True")
    }
}

pub(super) fn text<'j>(tree: &'j Json, pointer: &str) -> &'j str {
    tree.pointer(pointer).and_then(Json::as_str).unwrap_or("")
}

pub(super) fn int(tree: &Json, pointer: &str) -> i64 {
    tree.pointer(pointer).and_then(Json::as_i64).unwrap_or(0)
}

pub(super) fn list<'j>(tree: &'j Json, pointer: &str) -> &'j [Json] {
    tree.pointer(pointer).and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

/// `5s`, `3m2s`, `4d`: HumanDuration.
pub(super) fn human(duration: SignedDuration) -> String {
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

/// `a=b,c=d`, or `<none>`: labels.FormatLabels.
pub(super) fn labels(map: Option<&Json>) -> String {
    let pairs: Vec<String> = map
        .and_then(Json::as_object)
        .into_iter()
        .flatten()
        .map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or("")))
        .collect();
    if pairs.is_empty() { "<none>".into() } else { pairs.join(",") }
}

/// `a=b,x in (1,2),!y`, or `<none>`: metav1.FormatLabelSelector.
pub(super) fn selector(selector: Option<&Json>) -> String {
    let Some(selector) = selector else { return "<none>".into() };
    let mut parts: Vec<(String, String)> = Vec::new();
    for (key, value) in selector.get("matchLabels").and_then(Json::as_object).into_iter().flatten() {
        parts.push((key.clone(), format!("{key}={}", value.as_str().unwrap_or(""))));
    }
    for rule in list(selector, "/matchExpressions") {
        let key = text(rule, "/key").to_owned();
        let mut values: Vec<&str> = list(rule, "/values").iter().filter_map(Json::as_str).collect();
        values.sort_unstable();
        let shown = match text(rule, "/operator") {
            "In" => format!("{key} in ({})", values.join(",")),
            "NotIn" => format!("{key} notin ({})", values.join(",")),
            "Exists" => key.clone(),
            "DoesNotExist" => format!("!{key}"),
            _ => return "<error>".into(),
        };
        parts.push((key, shown));
    }
    parts.sort_by(|a, b| a.0.cmp(&b.0));
    if parts.is_empty() { "<none>".into() } else { parts.into_iter().map(|p| p.1).collect::<Vec<_>>().join(",") }
}

/// The first `most` of a list, and how many more there are.
pub(super) fn first(items: &[String], most: usize) -> String {
    if items.len() <= most {
        return items.join(",");
    }
    format!("{} + {} more...", items[..most].join(","), items.len() - most)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
