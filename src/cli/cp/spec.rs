//! `[[NAMESPACE/]POD:]PATH`. Source: k8s.io/kubectl/pkg/cmd/cp/{cp,filespec}.go.

use crate::cli::CliError;

/// Where files are.
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    Local(String),
    Pod { namespace: String, pod: String, path: String },
}

impl Place {
    pub fn parse(text: &str) -> Result<Self, CliError> {
        let Some((pod, path)) = text.split_once(':') else { return Ok(Place::Local(text.to_owned())) };
        let (namespace, name) = match pod.split('/').collect::<Vec<_>>()[..] {
            [name] if !name.is_empty() => ("", name),
            [namespace, name] => (namespace, name),
            _ => {
                return Err(CliError::message(
                    "filespec must match the canonical format: [[namespace/]pod:]file/path",
                ));
            }
        };
        Ok(Place::Pod { namespace: namespace.to_owned(), pod: name.to_owned(), path: path.to_owned() })
    }

    pub fn path(&self) -> &str {
        match self {
            Place::Local(path) | Place::Pod { path, .. } => path,
        }
    }
}

/// A path without `.`, doubled slashes and what `..` takes back, as Go's `path.Clean`.
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.join("/")) {
        (true, rest) => format!("/{rest}"),
        (false, rest) if rest.is_empty() => ".".to_owned(),
        (false, rest) => rest,
    }
}

/// The folder of a cleaned path, and its last part; empty where there is none.
pub fn split(path: &str) -> (String, String) {
    let path = clean(path);
    match path.rsplit_once('/') {
        Some(("", last)) => ("/".to_owned(), last.to_owned()),
        Some((folder, last)) => (folder.to_owned(), last.to_owned()),
        None => (".".to_owned(), path),
    }
}

/// What the names in an archive of `path` begin with: tar leaves out the first slashes, and `../` leads nowhere.
pub fn prefix(path: &str) -> String {
    let mut path = clean(path.trim_start_matches('/'));
    while let Some(rest) = path.strip_prefix("../") {
        path = rest.to_owned();
    }
    if matches!(path.as_str(), "." | "..") { String::new() } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_local_or_in_a_pod() {
        assert_eq!(Place::parse("a/b").ok(), Some(Place::Local("a/b".into())));
        let of = |namespace: &str, pod: &str, path: &str| Place::Pod { namespace: namespace.into(), pod: pod.into(), path: path.into() };
        assert_eq!(Place::parse("web:/x").ok(), Some(of("", "web", "/x")));
        assert_eq!(Place::parse("ns/web:x:y").ok(), Some(of("ns", "web", "x:y")));
        assert!(Place::parse(":/x").is_err() && Place::parse("a/b/c:/x").is_err());
    }

    #[test]
    fn paths_are_cleaned() {
        let cases = [("/a//b/./c", "/a/b/c"), ("a/../..", ".."), ("/../a", "/a"), ("", "."), ("a/b/..", "a"), ("/", "/")];
        for (path, cleaned) in cases {
            assert_eq!(clean(path), cleaned, "{path}");
        }
        assert_eq!(split("/a/b/"), ("/a".into(), "b".into()));
        assert_eq!(split("b"), (".".into(), "b".into()));
        assert_eq!(prefix("/../../etc/x"), "etc/x");
        assert_eq!(prefix("../../etc"), "etc");
        assert_eq!(prefix("/"), "");
    }
}
