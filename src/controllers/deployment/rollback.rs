//! The rollback that `extensions/v1beta1` asked for by an annotation.
//! Source of the rules: pkg/controller/deployment/rollback.go.

use super::revisions::{is_own_annotation, same_template, without_hash};
use super::sets::{Set, annotate};
use super::{COMPONENT, Look, Step};
use crate::api::Object;
use crate::controllers::resources::dig;

/// Asks for a revision; 0 is the one before the current.
pub(super) const ROLLBACK_TO: &str = "deprecated.deployment.rollback.to";

/// The revision asked for.
pub(super) fn wanted(deployment: &Object) -> Option<i64> {
    deployment.annotation(ROLLBACK_TO)?.parse().ok()
}

impl Look<'_> {
    pub(super) fn roll_back(&mut self, mut revision: i64) -> Step {
        let sets = self.current_sets()?;
        let sets = self.or_new_set(sets)?;
        if revision == 0 {
            revision = last_revision(sets.all());
            if revision == 0 {
                return self.give_up("DeploymentRollbackRevisionNotFound", "Unable to find last revision.".into());
            }
        }
        let Some(set) = sets.all().find(|s| s.revision() == revision) else {
            let message = "Unable to find the revision to rollback to.";
            return self.give_up("DeploymentRollbackRevisionNotFound", message.into());
        };
        let template = dig(set.object.json(), &["spec", "template"]);
        if same_template(template, dig(self.deployment.json(), &["spec", "template"])) {
            let message = format!(
                "The rollback revision contains the same template as current deployment \"{}\"",
                self.deployment.name()
            );
            return self.give_up("DeploymentRollbackTemplateUnchanged", message);
        }
        self.take_back(&set.object);
        let message = format!("Rolled back deployment \"{}\" to revision {revision}", self.name());
        self.decision.normal(COMPONENT, &self.deployment, "DeploymentRollback", message);
        Ok(())
    }

    fn take_back(&mut self, set: &Object) {
        self.deployment.json_mut()["spec"]["template"] = without_hash(dig(set.json(), &["spec", "template"]));
        let annotations: Vec<(String, String)> = self
            .deployment
            .annotations()
            .filter(|(name, _)| is_own_annotation(name))
            .chain(set.annotations().filter(|(name, _)| !is_own_annotation(name)))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        self.deployment.metadata_mut().remove("annotations");
        for (name, value) in annotations {
            annotate(&mut self.deployment, &name, &value);
        }
        self.clear();
    }

    fn give_up(&mut self, reason: &str, message: String) -> Step {
        self.decision.warning(COMPONENT, &self.deployment, reason, message);
        self.clear();
        Ok(())
    }

    fn clear(&mut self) {
        if let Some(annotations) = self.deployment.json_mut().pointer_mut("/metadata/annotations")
            && let Some(map) = annotations.as_object_mut()
        {
            map.remove(ROLLBACK_TO);
        }
        self.decision.update(self.deployment.clone());
    }
}

/// The second highest revision. Source: LastRevision.
fn last_revision<'a>(sets: impl Iterator<Item = &'a Set>) -> i64 {
    let (mut highest, mut second) = (0, 0);
    for revision in sets.map(Set::revision) {
        if revision >= highest {
            second = highest;
            highest = revision;
        } else if revision > second {
            second = revision;
        }
    }
    second
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::DeploymentController;
    use super::*;
    use crate::api::{Json, Key};
    use crate::controllers::resources::{DEPLOYMENTS, REPLICA_SETS, key_of};
    use crate::controllers::{Write, testing};
    use crate::state::State;

    fn template(image: &str) -> Json {
        json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}})
    }

    fn put(state: &mut State, tree: Json) -> Key {
        let object = Object::new(tree);
        let key = key_of(if object.kind() == "Deployment" { &DEPLOYMENTS } else { &REPLICA_SETS }, &object);
        state.put(key.clone(), object);
        key
    }

    /// A Deployment of the image `now`, and of the sets `images` with revisions from 1 on.
    fn asked(to: &str, now: &str, images: &[&str]) -> (State, Key) {
        let mut state = State::new();
        for (at, image) in images.iter().enumerate() {
            let mut pods = template(image);
            pods["metadata"]["labels"]["pod-template-hash"] = json!(image);
            put(&mut state, json!({
                "apiVersion": "apps/v1", "kind": "ReplicaSet",
                "metadata": {
                    "name": format!("d-{image}"), "namespace": "n", "uid": image, "labels": {"app": "web"},
                    "annotations": {"deployment.kubernetes.io/revision": (at + 1).to_string(), "note": image},
                    "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "uid": "d", "controller": true}],
                },
                "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}, "template": pods},
            }));
        }
        let key = put(&mut state, json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "d", "namespace": "n", "uid": "d",
                "annotations": {ROLLBACK_TO: to, "deployment.kubernetes.io/revision": images.len().to_string(), "note": "new", "mine": "x"},
            },
            "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}, "template": template(now), "strategy": {"type": "Recreate"}},
        }));
        (state, key)
    }

    /// The Deployment as it is written, and what is told.
    fn rolled_back(to: &str, now: &str, images: &[&str]) -> (Object, String) {
        let (mut state, key) = asked(to, now, images);
        // What the current set is to be told comes first.
        for _ in 0..5 {
            let writes = testing::look(&DeploymentController, &state, &key);
            let told = writes.iter().find_map(|write| match write {
                Write::Event(note) => Some(format!("{}: {}", note.reason, note.message)),
                _ => None,
            });
            for write in writes {
                let Write::Update { object } = write else { continue };
                if object.kind() == "Deployment" {
                    return (object, told.unwrap_or_default());
                }
                state.put(key_of(&REPLICA_SETS, &object), object);
            }
        }
        panic!("the question stays");
    }

    fn image(deployment: &Object) -> &str {
        deployment.str_at("/spec/template/spec/containers/0/image").unwrap_or_default()
    }

    #[test]
    fn a_revision_that_is_asked_for_comes_back_with_its_annotations_and_the_question_goes() {
        for (to, revision, expected) in [("1", 1, "a"), ("2", 2, "b"), ("0", 2, "b")] {
            let (deployment, told) = rolled_back(to, "c", &["a", "b", "c"]);
            assert_eq!(image(&deployment), expected);
            assert_eq!(deployment.at("/spec/template/metadata/labels"), Some(&json!({"app": "web"})));
            assert_eq!(told, format!("DeploymentRollback: Rolled back deployment \"d\" to revision {revision}"));
            assert_eq!(deployment.annotation(ROLLBACK_TO), None);
            assert_eq!((deployment.annotation("note"), deployment.annotation("mine")), (Some(expected), None));
            assert_eq!(deployment.annotation("deployment.kubernetes.io/revision"), Some("3"));
        }
    }

    #[test]
    fn a_rollback_that_leads_nowhere_is_told_and_forgotten() {
        let unchanged = "DeploymentRollbackTemplateUnchanged: The rollback revision contains the same template as current deployment \"d\"";
        let missing = "DeploymentRollbackRevisionNotFound: Unable to find the revision to rollback to.";
        let none = "DeploymentRollbackRevisionNotFound: Unable to find last revision.";
        let cases: [(&str, &[&str], &str); 3] = [("2", &["a", "b"], unchanged), ("7", &["a", "b"], missing), ("0", &["b"], none)];
        for (to, images, expected) in cases {
            let (deployment, told) = rolled_back(to, "b", images);
            assert_eq!((told.as_str(), image(&deployment), deployment.annotation(ROLLBACK_TO)), (expected, "b", None));
            assert_eq!(deployment.annotation("mine"), Some("x"));
        }
    }

    #[test]
    fn a_question_that_is_no_number_is_none() {
        let (state, key) = asked("back", "b", &["a", "b"]);
        let writes = testing::look(&DeploymentController, &state, &key);
        assert!(!writes.iter().any(|write| matches!(write, Write::Event(note) if note.reason.starts_with("DeploymentRollback"))));
    }

    #[test]
    fn the_last_revision_is_the_second_highest_in_any_order() {
        for images in [&["a", "b", "c", "d"][..], &["a", "b"]] {
            let (_, told) = rolled_back("0", images[images.len() - 1], images);
            assert!(told.ends_with(&format!("to revision {}", images.len() - 1)), "{told}");
        }
    }
}
