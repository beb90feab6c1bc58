//! DaemonSets: the template generation that old clients look at.
//! Source: pkg/registry/apps/daemonset/strategy.go, pkg/apis/apps/v1/conversion.go.

use super::{Part, Rules, Strategy, plain, rules};
use crate::api::{Json, Object};
use crate::registry::run::Run;

pub(crate) struct DaemonSets;

const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

fn template_generation(set: &Object) -> i64 {
    set.annotation(TEMPLATE_GENERATION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn note(set: &mut Object, generation: i64) {
    let annotations = set.metadata_mut().entry("annotations").or_insert_with(|| Json::Object(Default::default()));
    annotations[TEMPLATE_GENERATION] = generation.to_string().into();
}

impl Strategy for DaemonSets {
    fn rules(&self) -> &'static Rules {
        rules::rules("apps", "daemonsets")
    }

    fn prepare_create(&self, _run: &mut Run<'_, '_>, set: &mut Object) {
        plain::prepare_create(self.rules(), set);
        let given = template_generation(set);
        note(set, given.max(1));
    }

    fn prepare_update(&self, _run: &mut Run<'_, '_>, new: &mut Object, old: &Object, part: Part) {
        plain::prepare_update(self.rules(), new, old, part);
        let changed = part == Part::Main && new.at("/spec/template") != old.at("/spec/template");
        note(new, template_generation(old) + i64::from(changed));
    }
}
