//! A PodSpec as a whole.

use std::collections::{BTreeMap, BTreeSet};

use super::super::field::{self, Errors, Path};
use super::super::{meta, names, rules};
use super::{container, handlers, resources, scheduling, security, settings, volumes, windows};
use crate::api::Json;
use crate::api::tree::Tree;

/// What stays allowed because an older server accepted it, and whether it is a Pod or a template.
/// Source: pkg/api/pod/util.go, GetValidationOptionsFromPodSpecAndMeta.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub is_pod: bool,
    pub any_deletion_cost: bool,
    pub any_selector_value: bool,
    pub any_spread_selector: bool,
    pub legacy_spread_keys: bool,
    pub indivisible_hugepages: bool,
    pub any_token_path: bool,
    pub host_sysctls: bool,
    pub devices_without_host_users: bool,
    pub init_restarts_on_resize: bool,
}

impl Options {
    /// For a Pod; `old` is the Pod before the change.
    pub fn of_pod(old: Option<&Json>) -> Self {
        Options { is_pod: true, ..Options::of_template(old) }
    }

    /// For a template; `old` is the template before the change.
    pub fn of_template(old: Option<&Json>) -> Self {
        let Some(old) = old else { return Options::default() };
        let (annotations, spec) = (old.field("metadata").field("annotations"), old.field("spec"));
        let path = Path::root();
        Options {
            is_pod: false,
            any_deletion_cost: !super::annotations::deletion_cost(annotations, &path).is_empty(),
            any_selector_value: scheduling::has_odd_selector_value(spec),
            any_spread_selector: !scheduling::spread_selectors(spec, &path).is_empty(),
            legacy_spread_keys: !scheduling::spread_keys(spec, &path).is_empty(),
            indivisible_hugepages: resources::has_indivisible_hugepages(spec),
            any_token_path: super::projected::has_odd_token_path(spec),
            host_sysctls: !security::host_sysctls(spec, &path).is_empty(),
            devices_without_host_users: !settings::user_devices(spec, &path).is_empty(),
            init_restarts_on_resize: container::has_init_restart_on_resize(spec),
        }
    }
}

/// What the rules of one container must know of its Pod.
pub(super) struct Scope<'a> {
    pub spec: &'a Json,
    pub options: &'a Options,
    /// Volumes with a valid name and source.
    pub volumes: BTreeMap<&'a str, &'a Json>,
    pub claims: BTreeSet<&'a str>,
    pub grace: Option<i64>,
    pub host_users: bool,
}

/// The rules of a PodSpec with the metadata of its Pod or template.
pub(super) fn validate(spec: &Json, metadata: &Json, path: &Path, options: &Options) -> Errors {
    let mut errors = Errors::new();
    let grace = spec.opt_int("terminationGracePeriodSeconds");
    let name = metadata.opt_text("name").filter(|_| options.is_pod);
    let mirrors = options.is_pod && metadata.field("annotations").has(super::annotations::MIRROR);
    if grace.is_none() {
        errors.push(field::required(&path.child("terminationGracePeriodSeconds"), ""));
    }
    let (volumes, found) = volumes::validate(spec.list("volumes"), name, &path.child("volumes"), options);
    errors.extend(found);
    let claims = spec.list("resourceClaims");
    let scope = Scope {
        spec,
        options,
        volumes,
        claims: claims.iter().map(|c| c.text("name")).filter(|n| !n.is_empty()).collect(),
        grace,
        host_users: spec.field("hostUsers").as_bool().unwrap_or(true),
    };
    errors.extend(resources::claims_of_pod(claims, &path.child("resourceClaims"), mirrors));
    errors.extend(container::regular(&scope, &path.child("containers")));
    errors.extend(container::init(&scope, &path.child("initContainers")));
    errors.extend(container::ephemeral(&scope, &path.child("ephemeralContainers")));
    errors.extend(resources::of_pod(&scope, &path.child("resources")));
    errors.extend(settings::host_network_ports(spec, path, options));
    errors.extend(settings::restart_policy(spec.text("restartPolicy"), &path.child("restartPolicy")));
    errors.extend(settings::dns_policy(spec.text("dnsPolicy"), &path.child("dnsPolicy")));
    errors.extend(meta::labels(spec.get("nodeSelector"), &path.child("nodeSelector")));
    errors.extend(security::of_pod(spec, &path.child("securityContext"), options));
    errors.extend(scheduling::affinity(spec.field("affinity"), &path.child("affinity"), options));
    errors.extend(settings::dns_config(spec, &path.child("dnsConfig")));
    errors.extend(settings::readiness_gates(spec, &path.child("readinessGates")));
    errors.extend(settings::scheduling_gates(spec, &path.child("schedulingGates")));
    errors.extend(scheduling::spread(spec, &path.child("topologySpreadConstraints"), options));
    errors.extend(windows::host_process(spec, path));
    errors.extend(settings::host_users(spec, path, options));
    errors.extend(settings::hostname_override(spec, path));
    errors.extend(names_and_numbers(spec, path));
    errors.extend(runtime(&scope, path));
    errors
}

fn names_and_numbers(spec: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let named = |name: &str, rule: fn(&str) -> Vec<String>| -> Errors {
        let value = spec.text(name);
        if value.is_empty() { Errors::new() } else { rules::each(&path.child(name), value, rule(value)) }
    };
    errors.extend(named("serviceAccountName", names::dns1123_subdomain));
    errors.extend(named("nodeName", names::dns1123_subdomain));
    if let Some(seconds) = spec.opt_int("activeDeadlineSeconds") {
        let wrong = names::in_range(seconds, 1, i64::from(i32::MAX));
        errors.extend(wrong.iter().map(|m| field::invalid(&path.child("activeDeadlineSeconds"), seconds, m)));
    }
    errors.extend(named("hostname", names::dns1123_label));
    errors.extend(named("subdomain", names::dns1123_label));
    errors.extend(scheduling::tolerations(spec.list("tolerations"), &path.child("tolerations")));
    errors.extend(settings::host_aliases(spec, &path.child("hostAliases")));
    errors.extend(named("priorityClassName", names::dns1123_subdomain));
    errors
}

fn runtime(scope: &Scope<'_>, path: &Path) -> Errors {
    let spec = scope.spec;
    let mut errors = Errors::new();
    if let Some(name) = spec.opt_text("runtimeClassName") {
        errors.extend(rules::each(&path.child("runtimeClassName"), name, names::dns1123_subdomain(name)));
    }
    if let Some(policy) = spec.opt_text("preemptionPolicy") {
        let at = path.child("preemptionPolicy");
        match policy {
            "PreemptLowerPriority" | "Never" => {}
            "" => errors.push(field::required(&at, "")),
            other => errors.push(field::not_supported(&at, other, &["PreemptLowerPriority", "Never"])),
        }
    }
    errors.extend(resources::overhead(scope, &path.child("overhead")));
    errors.extend(windows::os(spec, path));
    errors.extend(handlers::stop_signals(spec, path));
    errors.extend(super::env::file_key_volumes(spec, path));
    errors
}
