//! Which ConfigMaps and Secrets the containers of a pod read, and whether a change reaches them by itself.

use crate::api::Json;
use crate::controllers::resources::dig;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    ConfigMap,
    Secret,
}

/// What of it is read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Whole,
    Key(String),
}

/// One way in which a container reads one object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Read {
    pub kind: Kind,
    pub name: String,
    pub part: Part,
    /// The pod starts without it.
    pub is_optional: bool,
    /// Read once, when the container starts: environment, subPath. Else a file that follows the object.
    pub is_fixed: bool,
}

fn list<'j>(tree: &'j Json, field: &str) -> impl Iterator<Item = &'j Json> {
    dig(tree, &[field]).as_array().into_iter().flatten()
}

fn text<'j>(tree: &'j Json, path: &[&str]) -> &'j str {
    dig(tree, path).as_str().unwrap_or("")
}

/// The reads of a pod's containers, sorted, each once.
pub fn of(spec: &Json) -> Vec<Read> {
    let mut reads = Vec::new();
    for container in list(spec, "initContainers").chain(list(spec, "containers")) {
        for entry in list(container, "envFrom") {
            reads.extend(environment(dig(entry, &["configMapRef"]), Kind::ConfigMap, false));
            reads.extend(environment(dig(entry, &["secretRef"]), Kind::Secret, false));
        }
        for entry in list(container, "env") {
            reads.extend(environment(dig(entry, &["valueFrom", "configMapKeyRef"]), Kind::ConfigMap, true));
            reads.extend(environment(dig(entry, &["valueFrom", "secretKeyRef"]), Kind::Secret, true));
        }
        for mount in list(container, "volumeMounts") {
            let volume = list(spec, "volumes").find(|volume| text(volume, &["name"]) == text(mount, &["name"]));
            for source in volume.into_iter().flat_map(sources) {
                reads.push(file(&source, mount));
            }
        }
    }
    reads.sort();
    reads.dedup();
    reads
}

fn environment(source: &Json, kind: Kind, by_key: bool) -> Option<Read> {
    let name = Some(text(source, &["name"])).filter(|name| !name.is_empty())?.to_owned();
    let part = if by_key { Part::Key(text(source, &["key"]).to_owned()) } else { Part::Whole };
    let is_optional = dig(source, &["optional"]).as_bool() == Some(true);
    Some(Read { kind, name, part, is_optional, is_fixed: true })
}

/// A part of a volume that one object fills.
struct Source<'j> {
    kind: Kind,
    name: &'j str,
    tree: &'j Json,
}

fn sources(volume: &Json) -> Vec<Source<'_>> {
    let projected = dig(volume, &["projected", "sources"]).as_array().into_iter().flatten();
    let plain = [
        (Kind::ConfigMap, "name", dig(volume, &["configMap"])),
        (Kind::Secret, "secretName", dig(volume, &["secret"])),
    ];
    let parts = projected.flat_map(|part| {
        [(Kind::ConfigMap, "name", dig(part, &["configMap"])), (Kind::Secret, "name", dig(part, &["secret"]))]
    });
    let all = plain.into_iter().chain(parts);
    let named = all.map(|(kind, field, tree)| Source { kind, name: text(tree, &[field]), tree });
    named.filter(|source| !source.name.is_empty()).collect()
}

fn file(source: &Source<'_>, mount: &Json) -> Read {
    let (path, expression) = (text(mount, &["subPath"]), text(mount, &["subPathExpr"]));
    // A file of its own is that of one key: the one whose path it is.
    let first = path.split('/').next().unwrap_or("");
    let mut items = list(source.tree, "items").peekable();
    let key = if path.is_empty() {
        None
    } else if items.peek().is_some() {
        items.find(|item| text(item, &["path"]) == path).map(|item| text(item, &["key"]).to_owned())
    } else {
        Some(first.to_owned())
    };
    Read {
        kind: source.kind,
        name: source.name.to_owned(),
        part: key.map_or(Part::Whole, Part::Key),
        is_optional: dig(source.tree, &["optional"]).as_bool() == Some(true),
        is_fixed: !path.is_empty() || !expression.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(reads: &[Read]) -> Vec<String> {
        let part = |part: &Part| if let Part::Key(key) = part { format!("[{key}]") } else { String::new() };
        let mark = |is: bool, mark: &'static str| if is { mark } else { "" };
        reads
            .iter()
            .map(|r| format!("{:?}/{}{}{}{}", r.kind, r.name, part(&r.part), mark(r.is_optional, "?"), mark(r.is_fixed, "!")))
            .collect()
    }

    #[test]
    fn every_way_of_reading_is_found_once() {
        let spec = json!({
            "initContainers": [{"envFrom": [{"configMapRef": {"name": "a"}}, {"secretRef": {"name": "s", "optional": true}}]}],
            "containers": [{
                "env": [
                    {"name": "X", "value": "1"},
                    {"name": "Y", "valueFrom": {"configMapKeyRef": {"name": "b", "key": "k"}}},
                    {"name": "Z", "valueFrom": {"secretKeyRef": {"name": "t", "key": "k", "optional": true}}},
                ],
                "volumeMounts": [
                    {"name": "files", "mountPath": "/a"},
                    {"name": "files", "mountPath": "/b", "subPath": "app.ini"},
                    {"name": "some", "mountPath": "/c", "subPath": "renamed"},
                    {"name": "mix", "mountPath": "/d"},
                    {"name": "other", "mountPath": "/e"},
                ],
            }],
            "volumes": [
                {"name": "files", "configMap": {"name": "f"}},
                {"name": "some", "secret": {"secretName": "u", "items": [{"key": "k", "path": "renamed"}]}},
                {"name": "mix", "projected": {"sources": [{"configMap": {"name": "m"}}, {"secret": {"name": "v"}}]}},
                {"name": "other", "emptyDir": {}},
            ],
        });
        assert_eq!(shown(&of(&spec)), [
            "ConfigMap/a!", "ConfigMap/b[k]!", "ConfigMap/f", "ConfigMap/f[app.ini]!", "ConfigMap/m",
            "Secret/s?!", "Secret/t[k]?!", "Secret/u[k]!", "Secret/v",
        ]);
    }
}
