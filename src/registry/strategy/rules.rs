//! The rules that kinds differ in, as data.

use super::Strategy;
use super::plain::Plain;

/// What raises `metadata.generation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generation {
    /// The kind has none.
    None,
    /// It is 1 for ever.
    One,
    /// Any change outside of metadata and status.
    Spec,
    /// The same, and annotations (Deployment).
    SpecAndAnnotations,
    /// The same, and labels and annotations (EndpointSlice).
    All,
}

/// What becomes of dependents when nothing is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Collect {
    Background,
    Orphan,
    /// The kind takes no part in garbage collection.
    Unsupported,
}

/// Which metadata a write to `status` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatusMetadata {
    /// All that is sent.
    Taken,
    /// All but labels.
    ButLabels,
    /// All but owner references.
    ButOwners,
    /// None (metav1.ResetObjectMetaForStatus).
    Kept,
}

/// The rules of one kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub generation: Generation,
    /// The empty status, as JSON; `None`: the kind has no status subresource.
    pub status: Option<&'static str>,
    pub status_metadata: StatusMetadata,
    pub create_on_update: bool,
    pub unconditional_update: bool,
    pub returns_deleted: bool,
    pub collect: Collect,
}

const fn plain(generation: Generation) -> Rules {
    Rules {
        generation,
        status: None,
        status_metadata: StatusMetadata::Taken,
        create_on_update: false,
        unconditional_update: true,
        returns_deleted: false,
        collect: Collect::Background,
    }
}

impl Rules {
    const fn status(mut self, empty: &'static str) -> Self {
        self.status = Some(empty);
        self
    }

    const fn status_metadata(mut self, taken: StatusMetadata) -> Self {
        self.status_metadata = taken;
        self
    }

    const fn made_by_update(mut self) -> Self {
        self.create_on_update = true;
        self
    }

    const fn needs_version(mut self) -> Self {
        self.unconditional_update = false;
        self
    }

    const fn answers_deleted(mut self) -> Self {
        self.returns_deleted = true;
        self
    }

    const fn collect(mut self, default: Collect) -> Self {
        self.collect = default;
        self
    }
}

macro_rules! plain_kinds {
    ($($group:literal $resource:literal => $rules:expr;)*) => {
        fn plain_of(group: &str, resource: &str) -> &'static &'static Plain {
            match (group, resource) {
                $(($group, $resource) => {
                    static STRATEGY: Plain = Plain($rules);
                    static ONE: &Plain = &STRATEGY;
                    &ONE
                })*
                _ => {
                    static OTHER: Plain = Plain(plain(Generation::None));
                    static ONE: &Plain = &OTHER;
                    &ONE
                }
            }
        }
    };
}

use Collect::{Orphan, Unsupported};
use Generation::{All, None as NoGeneration, One, Spec, SpecAndAnnotations};

/// Objects of custom resources.
pub(super) static CUSTOM: Rules = plain(Spec).needs_version();

plain_kinds! {
    "" "configmaps" => plain(NoGeneration);
    "" "secrets" => plain(NoGeneration);
    "" "endpoints" => plain(NoGeneration).made_by_update();
    "" "events" => plain(NoGeneration).made_by_update().collect(Unsupported);
    "events.k8s.io" "events" => plain(NoGeneration).made_by_update().collect(Unsupported);
    "" "limitranges" => plain(NoGeneration).made_by_update();
    "" "namespaces" => plain(NoGeneration).status(r#"{"phase":"Active"}"#);
    "" "nodes" => plain(NoGeneration).status(r#"{"daemonEndpoints":{"kubeletEndpoint":{"Port":0}},"nodeInfo":{"machineID":"","systemUUID":"","bootID":"","kernelVersion":"","osImage":"","containerRuntimeVersion":"","kubeletVersion":"","kubeProxyVersion":"","operatingSystem":"","architecture":""}}"#);
    "" "persistentvolumeclaims" => plain(NoGeneration).status(r#"{"phase":"Pending"}"#).answers_deleted();
    "" "persistentvolumes" => plain(NoGeneration).status(r#"{"phase":"Pending"}"#).answers_deleted();
    "" "pods" => plain(Spec).status(r#"{"phase":"Pending"}"#).status_metadata(StatusMetadata::ButOwners).answers_deleted();
    "" "podtemplates" => plain(Spec).answers_deleted();
    "" "replicationcontrollers" => plain(Spec).status(r#"{"replicas":0}"#).collect(Orphan);
    "" "resourcequotas" => plain(NoGeneration).status("{}").answers_deleted();
    "" "serviceaccounts" => plain(NoGeneration).answers_deleted();
    "" "services" => plain(NoGeneration).status(r#"{"loadBalancer":{}}"#).made_by_update().answers_deleted();
    "apps" "controllerrevisions" => plain(NoGeneration);
    "apps" "daemonsets" => plain(Spec).status(r#"{"currentNumberScheduled":0,"numberMisscheduled":0,"desiredNumberScheduled":0,"numberReady":0}"#);
    "apps" "deployments" => plain(SpecAndAnnotations).status("{}").status_metadata(StatusMetadata::ButLabels);
    "apps" "replicasets" => plain(Spec).status(r#"{"replicas":0}"#);
    "apps" "statefulsets" => plain(Spec).status(r#"{"replicas":0,"availableReplicas":0}"#);
    "batch" "jobs" => plain(Spec).status("{}").collect(Orphan);
    "batch" "cronjobs" => plain(Spec).status("{}");
    "autoscaling" "horizontalpodautoscalers" => plain(NoGeneration).status(r#"{"desiredReplicas":0,"currentMetrics":null}"#);
    "policy" "poddisruptionbudgets" => plain(Spec).status(r#"{"disruptionsAllowed":0,"currentHealthy":0,"desiredHealthy":0,"expectedPods":0}"#).needs_version();
    "coordination.k8s.io" "leases" => plain(NoGeneration).made_by_update().needs_version();
    "discovery.k8s.io" "endpointslices" => plain(All);
    "networking.k8s.io" "ingresses" => plain(Spec).status(r#"{"loadBalancer":{}}"#);
    "networking.k8s.io" "ingressclasses" => plain(Spec);
    "networking.k8s.io" "networkpolicies" => plain(Spec);
    "networking.k8s.io" "servicecidrs" => plain(NoGeneration).status("{}");
    "rbac.authorization.k8s.io" "roles" => plain(NoGeneration).made_by_update();
    "rbac.authorization.k8s.io" "rolebindings" => plain(NoGeneration).made_by_update();
    "rbac.authorization.k8s.io" "clusterroles" => plain(NoGeneration).made_by_update();
    "rbac.authorization.k8s.io" "clusterrolebindings" => plain(NoGeneration).made_by_update();
    "scheduling.k8s.io" "priorityclasses" => plain(One);
    "storage.k8s.io" "storageclasses" => plain(NoGeneration).answers_deleted();
    "storage.k8s.io" "csidrivers" => plain(Spec).needs_version().answers_deleted();
    "storage.k8s.io" "csinodes" => plain(NoGeneration).needs_version().answers_deleted();
    "storage.k8s.io" "csistoragecapacities" => plain(NoGeneration).needs_version();
    "storage.k8s.io" "volumeattachments" => plain(NoGeneration).status(r#"{"attached":false}"#).status_metadata(StatusMetadata::Kept).needs_version().answers_deleted();
    "storage.k8s.io" "volumeattributesclasses" => plain(NoGeneration).answers_deleted();
    "node.k8s.io" "runtimeclasses" => plain(NoGeneration).made_by_update().needs_version();
    "certificates.k8s.io" "certificatesigningrequests" => plain(NoGeneration).status("{}");
    "flowcontrol.apiserver.k8s.io" "flowschemas" => plain(Spec).status("{}").status_metadata(StatusMetadata::Kept);
    "flowcontrol.apiserver.k8s.io" "prioritylevelconfigurations" => plain(Spec).status("{}").status_metadata(StatusMetadata::Kept);
    "admissionregistration.k8s.io" "mutatingwebhookconfigurations" => plain(Spec).needs_version();
    "admissionregistration.k8s.io" "validatingwebhookconfigurations" => plain(Spec).needs_version();
    "admissionregistration.k8s.io" "validatingadmissionpolicies" => plain(Spec).status("{}").status_metadata(StatusMetadata::Kept).needs_version();
    "admissionregistration.k8s.io" "validatingadmissionpolicybindings" => plain(Spec).needs_version();
    "admissionregistration.k8s.io" "mutatingadmissionpolicies" => plain(Spec).needs_version();
    "admissionregistration.k8s.io" "mutatingadmissionpolicybindings" => plain(Spec).needs_version();
    "apiextensions.k8s.io" "customresourcedefinitions" => plain(Spec).status(r#"{"conditions":null,"acceptedNames":{"plural":"","kind":""},"storedVersions":null}"#).needs_version();
    "apiregistration.k8s.io" "apiservices" => plain(NoGeneration).status("{}").status_metadata(StatusMetadata::Kept).needs_version();
    "resource.k8s.io" "deviceclasses" => plain(Spec);
    "resource.k8s.io" "resourceclaims" => plain(NoGeneration).status("{}").status_metadata(StatusMetadata::Kept);
    "resource.k8s.io" "resourceslices" => plain(Spec);
}

pub(super) fn of(group: &str, resource: &str) -> &'static dyn Strategy {
    match (group, resource) {
        ("", "pods") => &super::pod::Pods,
        ("", "services") => &super::service::Services,
        ("", "namespaces") => &super::namespace::Namespaces,
        ("", "nodes") => &super::cluster::Nodes,
        ("", "serviceaccounts") => &super::cluster::ServiceAccounts,
        ("", "persistentvolumes") => &super::volumes::Volumes,
        ("", "persistentvolumeclaims") => &super::volumes::Claims,
        ("discovery.k8s.io", "endpointslices") => &super::dropped::Slices,
        ("coordination.k8s.io", "leases") => &super::dropped::Leases,
        ("apps", "daemonsets") => &super::workloads::DaemonSets,
        ("batch", "jobs") => &super::batch::Jobs,
        ("rbac.authorization.k8s.io", "roles") => &super::rbac::Guarded("roles"),
        ("rbac.authorization.k8s.io", "rolebindings") => &super::rbac::Guarded("rolebindings"),
        ("rbac.authorization.k8s.io", "clusterroles") => &super::rbac::Guarded("clusterroles"),
        ("rbac.authorization.k8s.io", "clusterrolebindings") => &super::rbac::Guarded("clusterrolebindings"),
        ("apiextensions.k8s.io", "customresourcedefinitions") => &super::custom::Definitions,
        _ => plain_of(group, resource),
    }
}

/// The rules of a kind that has a strategy of its own.
pub(super) fn rules(group: &str, resource: &str) -> &'static Rules {
    &plain_of(group, resource).0
}
