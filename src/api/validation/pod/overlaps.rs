//! Files of a volume that lie on or below each other. Source: pkg/api/pod/warnings.go.

use crate::api::Json;
use crate::api::status::quote;
use crate::api::tree::Tree;

#[derive(Clone, PartialEq)]
struct Placed {
    path: String,
    /// What puts it there, in volumes of several sources.
    source: String,
}

impl Placed {
    fn new(path: &str, source: &str) -> Self {
        Placed { path: path.trim_end_matches('/').to_owned(), source: source.to_owned() }
    }

    fn show(&self) -> String {
        let path = quote(&self.path);
        if self.source.is_empty() { path } else { format!("{path} ({})", self.source) }
    }

    fn overlaps(&self, other: &Placed) -> bool {
        let (a, b) = (format!("{}/", self.path), format!("{}/", other.path));
        !self.path.is_empty() && !other.path.is_empty() && (a.starts_with(&b) || b.starts_with(&a))
    }
}

/// Warnings about all volumes of a Pod.
pub(super) fn warnings(volumes: &[Json]) -> Vec<String> {
    let mut warnings = Vec::new();
    for volume in volumes {
        let name = quote(volume.text("name"));
        let mut warn = |what: &str, files: &[Placed]| {
            warnings.extend(clashes(files).iter().map(|c| format!("volume {name} ({what}): overlapping paths: {c}")));
        };
        let (map, secret) = (volume.field("configMap"), volume.field("secret"));
        warn(&format!("ConfigMap {}", quote(map.text("name"))), &files(map, ""));
        warn(&format!("Secret {}", quote(secret.text("secretName"))), &files(secret, ""));
        warn("DownwardAPI", &files(volume.field("downwardAPI"), ""));
        let mut all: Vec<Placed> = Vec::new();
        for source in volume.field("projected").list("sources") {
            if source.as_object().is_some_and(|source| source.is_empty()) {
                warnings.push(format!("volume {name} (Projected) has no sources provided"));
            }
            for file in projected(source) {
                let clashes = clashes_with(&file, &all);
                warnings.extend(clashes.map(|c| format!("volume {name} (Projected): overlapping paths: {c}")));
                all.push(file);
            }
        }
    }
    warnings
}

fn files(source: &Json, shown: &str) -> Vec<Placed> {
    source.list("items").iter().map(|item| Placed::new(item.text("path"), shown)).collect()
}

fn projected(source: &Json) -> Vec<Placed> {
    let map = source.field("configMap");
    if !map.is_null() {
        return files(map, &format!("ConfigMap {}", quote(map.text("name"))));
    }
    let secret = source.field("secret");
    if !secret.is_null() {
        return files(secret, &format!("Secret {}", quote(secret.text("name"))));
    }
    let downward = source.field("downwardAPI");
    if !downward.is_null() {
        return files(downward, "DownwardAPI");
    }
    let token = source.field("serviceAccountToken");
    if !token.is_null() {
        return vec![Placed::new(token.text("path"), "ServiceAccountToken")];
    }
    let bundle = source.field("clusterTrustBundle");
    if !bundle.is_null() {
        let name = bundle.opt_text("name").unwrap_or_else(|| bundle.text("signerName"));
        return vec![Placed::new(bundle.text("path"), &format!("ClusterTrustBundle {}", quote(name)))];
    }
    let certificate = source.field("podCertificate");
    let parts = [("certificateChainPath", "chain"), ("keyPath", "key"), ("credentialBundlePath", "credential bundle")];
    let placed = parts.map(|(name, part)| Placed::new(certificate.text(name), &format!("PodCertificate {part}")));
    placed.into_iter().filter(|file| !file.path.is_empty()).collect()
}

/// Each file with each one before it that it lies on, above or below.
fn clashes(files: &[Placed]) -> Vec<String> {
    files.iter().enumerate().flat_map(|(index, file)| clashes_with(file, &files[..index])).collect()
}

fn clashes_with<'a>(file: &'a Placed, before: &'a [Placed]) -> impl Iterator<Item = String> + 'a {
    let overlapping = before.iter().filter(|other| file.overlaps(other));
    overlapping.map(|other| format!("{} with {}", file.show(), other.show()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sources_are_told_in_their_order() {
        let certificate = json!({"podCertificate": {"keyPath": "a/k", "certificateChainPath": "a", "credentialBundlePath": "b"}});
        let token = json!({"serviceAccountToken": {"path": "b/c"}});
        let volumes = [json!({"name": "v", "projected": {"sources": [certificate, {}, token]}})];
        assert_eq!(
            warnings(&volumes),
            [
                r#"volume "v" (Projected): overlapping paths: "a/k" (PodCertificate key) with "a" (PodCertificate chain)"#,
                r#"volume "v" (Projected) has no sources provided"#,
                r#"volume "v" (Projected): overlapping paths: "b/c" (ServiceAccountToken) with "b" (PodCertificate credential bundle)"#,
            ]
        );
    }
}
