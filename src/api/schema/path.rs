//! From a field path (`spec.template.spec.containers[0].image`) to the type that has the field.

use super::{Field, Schema, Type};
use crate::api::Gvk;

/// Where a path leads in the types.
pub struct Place<'s> {
    /// OpenAPI name of the type whose field the last step is; empty where that is a free map.
    pub owner: &'s str,
    /// The last step.
    pub name: &'s str,
}

impl Schema {
    /// Follows a path from a kind's root. `None` where an earlier step is no field of its type.
    pub fn place<'s>(&'s self, gvk: &Gvk, path: &'s str) -> Option<Place<'s>> {
        let mut owner = self.type_name(gvk)?;
        let mut current: Option<&Field> = None;
        let mut steps = steps(path).peekable();
        while let Some(step) = steps.next() {
            match step {
                Step::Index => current = current.and_then(|f| f.items.as_deref().or(f.values.as_deref())),
                Step::Name(name) => {
                    if let Some(field) = current {
                        match &field.reference {
                            Some(reference) => owner = reference,
                            None => {
                                current = field.values.as_deref();
                                owner = "";
                                if steps.peek().is_none() {
                                    return Some(Place { owner, name });
                                }
                                continue;
                            }
                        }
                    }
                    let field = self.type_named(owner).and_then(|t: &Type| t.fields.as_ref()?.get(name));
                    if steps.peek().is_none() {
                        return Some(Place { owner, name });
                    }
                    current = Some(field?);
                }
            }
        }
        Some(Place { owner, name: "" })
    }
}

enum Step<'p> {
    Name(&'p str),
    Index,
}

fn steps(path: &str) -> impl Iterator<Item = Step<'_>> {
    let mut rest = path.trim_start_matches('.');
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if rest.starts_with('[') {
            let end = rest.find(']').map_or(rest.len(), |e| e + 1);
            rest = rest[end..].trim_start_matches('.');
            return Some(Step::Index);
        }
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let name = &rest[..end];
        rest = rest[end..].trim_start_matches('.');
        Some(Step::Name(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_the_type_that_has_the_field() {
        let deployment = Gvk::of("apps/v1", "Deployment");
        let at = |path| Schema::get().place(&deployment, path).map(|p| (p.owner, p.name));
        let container = "io.k8s.api.core.v1.Container";
        assert_eq!(at("spec.template.spec.containers[0].image"), Some((container, "image")));
        assert_eq!(at("spec.template.spec.containers[0].imagee"), Some((container, "imagee")));
        assert_eq!(at("spec.replicas"), Some(("io.k8s.api.apps.v1.DeploymentSpec", "replicas")));
        assert_eq!(at("metadata.labels.app"), Some(("", "app")));
        assert!(at("spec.nosuch.x").is_none());
    }
}
