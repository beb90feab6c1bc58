//! Jobs: a selector of their own, and orphaning as the old default.
//! Source: pkg/registry/batch/job/strategy.go.

use serde_json::json;

use super::{Rules, Strategy, plain, rules};
use crate::api::{Json, Object};
use crate::registry::delete::DeleteOptions;
use crate::registry::run::Run;

pub(crate) struct Jobs;

const ORPHANS: &str = "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to \
    remove them or set propagationPolicy=Orphan to suppress this warning";

impl Strategy for Jobs {
    fn rules(&self) -> &'static Rules {
        rules::rules("batch", "jobs")
    }

    fn prepare_create(&self, run: &mut Run<'_, '_>, job: &mut Object) {
        plain::prepare_create(self.rules(), job);
        let manual = job.at("/spec/manualSelector").and_then(Json::as_bool) == Some(true);
        if !manual {
            select(run, job);
        }
    }

    fn warn_on_delete(&self, run: &mut Run<'_, '_>, options: &DeleteOptions) {
        if options.orphan_dependents.is_none() && options.propagation_policy.is_none() {
            run.warn([ORPHANS.to_owned()]);
        }
    }
}

/// Labels the template with the Job's name and uid and selects by the uid (generateSelector).
fn select(run: &Run<'_, '_>, job: &mut Object) {
    let (name, uid) = (job.name().to_owned(), job.uid().to_owned());
    let template_labels = job.at("/spec/template/metadata/labels").cloned();
    // Defaulting lets the Job share its template's labels, so that it gets the new ones as well.
    // (Where the template has none, the Job gets them when it is read back.)
    let shares = run.unlabelled && template_labels.is_some_and(|l| Some(&l) == job.at("/metadata/labels"));
    let spec = &mut job.json_mut()["spec"];
    let metadata = &mut spec["template"]["metadata"];
    if !metadata.is_object() {
        *metadata = json!({});
    }
    let labels = &mut metadata["labels"];
    if !labels.is_object() {
        *labels = json!({});
    }
    for (key, value) in [
        ("batch.kubernetes.io/job-name", &name),
        ("job-name", &name),
        ("batch.kubernetes.io/controller-uid", &uid),
        ("controller-uid", &uid),
    ] {
        if labels.get(key).is_none() {
            labels[key] = value.as_str().into();
        }
    }
    let labels = labels.clone();
    let selector = &mut spec["selector"];
    if !selector.is_object() {
        *selector = json!({});
    }
    if !selector["matchLabels"].is_object() {
        selector["matchLabels"] = json!({});
    }
    if selector["matchLabels"].get("batch.kubernetes.io/controller-uid").is_none() {
        selector["matchLabels"]["batch.kubernetes.io/controller-uid"] = uid.into();
    }
    if shares {
        job.metadata_mut().insert("labels".into(), labels);
    }
}
