//! Defaults of Pods and of the templates they are made from. Source: pkg/apis/core/v1/defaults.go.

use crate::api::Json;

/// Fills a Pod, given whole.
pub fn fill_pod(pod: &mut Json) {
    fill_template(pod);
}

/// Fills a PodTemplateSpec (`spec.template` of a workload): what a Pod gets but for what only a Pod gets.
pub fn fill_template(template: &mut Json) {
    let _ = template;
}
