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
