//! Other names, tags and digests for images.
//! Source: sigs.k8s.io/kustomize/api/filters/imagetag, api/internal/image/image.go.

use super::Resource;
use super::fields::{visit, words};
use super::file::Image;
use crate::api::Json;

/// Where images are named: in pods' specs wherever such a thing stands in an object.
const PATHS: &[&str] = &["containers/image", "initContainers/image", "volumes/image/reference"];
const SPECS: &[&str] = &["spec", "spec/template/spec", "spec/jobTemplate/spec/template/spec"];

pub fn set(resources: &mut [Resource], image: &Image) {
    for resource in resources {
        for spec in SPECS {
            for path in PATHS {
                visit(&mut resource.tree, &words(&format!("{spec}/{path}")), false, &mut |value| {
                    if let Some(new) = value.as_str().and_then(|old| changed(old, image)) {
                        *value = Json::from(new);
                    }
                });
            }
        }
    }
}

/// The new name, if it is the image that is meant.
fn changed(old: &str, image: &Image) -> Option<String> {
    let (name, tag, digest) = split(old);
    if name != image.name {
        return None;
    }
    let name = if image.new_name.is_empty() { name } else { &image.new_name };
    let (tag, digest) = match (image.new_tag.as_str(), image.digest.as_str(), image.tag_suffix.as_str()) {
        ("", "", "") => (tag.to_owned(), digest),
        ("", "", suffix) => (format!("{tag}{suffix}"), ""),
        (tag, digest, _) => (tag.to_owned(), digest),
    };
    let tag = if tag.is_empty() { tag } else { format!(":{tag}") };
    let at = if digest.is_empty() { "" } else { "@" };
    Some(format!("{name}{tag}{at}{digest}"))
}

/// Name, tag and digest; a port of the registry is no tag.
fn split(image: &str) -> (&str, &str, &str) {
    let (rest, digest) = image.split_once('@').unwrap_or((image, ""));
    let slash = rest.find('/').unwrap_or(0);
    match rest[slash..].find(':') {
        Some(colon) => (&rest[..slash + colon], &rest[slash + colon + 1..], digest),
        None => (rest, "", digest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_gets_another_name_tag_or_digest() {
        let image = |name: &str, new_name: &str, new_tag: &str, digest: &str| Image {
            name: name.into(),
            new_name: new_name.into(),
            new_tag: new_tag.into(),
            digest: digest.into(),
            ..Image::default()
        };
        let check = |old: &str, image: Image, new: Option<&str>| assert_eq!(changed(old, &image).as_deref(), new, "{old}");
        check("nginx:1", image("nginx", "", "2", ""), Some("nginx:2"));
        check("nginx:1", image("nginx", "", "", "sha256:a"), Some("nginx@sha256:a"));
        check("nginx@sha256:a", image("nginx", "reg:5000/n", "", ""), Some("reg:5000/n@sha256:a"));
        check("reg:5000/nginx", image("reg:5000/nginx", "", "2", ""), Some("reg:5000/nginx:2"));
        check("nginx:1", image("ngin", "", "2", ""), None);
    }
}
