//! Which module holds the rules of which kind (all but Pod).

use super::field::Errors;
use super::{
    autoscaling, claim, classes, cluster, config, cron_job, custom_resource as crd, endpoints, event, job, job_status, limits,
    networking, rbac, service, statuses, storage, volume, workloads,
};
use crate::api::{Gvk, Object};

fn parts(gvk: &Gvk) -> (&str, &str) {
    (gvk.group.as_str(), gvk.kind.as_str())
}

/// The kind's own rules for a new object; its metadata is theirs to check, too.
pub fn create(gvk: &Gvk, object: &Object) -> Errors {
    match parts(gvk) {
        ("apps", "Deployment") => workloads::deployment(object),
        ("apps", "ReplicaSet") => workloads::replica_set(object),
        ("apps", "StatefulSet") => workloads::stateful_set(object),
        ("apps", "DaemonSet") => workloads::daemon_set(object),
        ("apps", "ControllerRevision") => cluster::controller_revision(object),
        ("", "ReplicationController") => workloads::replication_controller(object),
        ("batch", "Job") => job::create(object),
        ("batch", "CronJob") => cron_job::create(object),
        ("", "ConfigMap") => config::config_map(object),
        ("", "Secret") => config::secret(object),
        ("", "Service") => service::create(object),
        ("", "Endpoints") => endpoints::endpoints(object),
        ("discovery.k8s.io", "EndpointSlice") => endpoints::slice(object),
        ("", "PersistentVolumeClaim") => claim::create(object),
        ("", "PersistentVolume") => volume::create(object),
        ("", "Namespace") => cluster::namespace(object),
        ("", "Node") => cluster::node(object),
        ("" | "events.k8s.io", "Event") => event::create(object),
        ("", "ServiceAccount") => cluster::service_account(object),
        ("", "PodTemplate") => cluster::pod_template(object),
        ("", "LimitRange") => limits::limit_range(object),
        ("", "ResourceQuota") => limits::resource_quota(object),
        ("coordination.k8s.io", "Lease") => cluster::lease(object),
        ("policy", "PodDisruptionBudget") => cluster::disruption_budget(object),
        ("scheduling.k8s.io", "PriorityClass") => cluster::priority_class(object),
        ("networking.k8s.io", "Ingress") => networking::ingress(object),
        ("networking.k8s.io", "IngressClass") => networking::ingress_class(object),
        ("networking.k8s.io", "NetworkPolicy") => networking::network_policy(object),
        ("autoscaling", "HorizontalPodAutoscaler") => autoscaling::create(object),
        ("autoscaling", "Scale") => autoscaling::scale(object),
        ("rbac.authorization.k8s.io", "Role") => rbac::role(object),
        ("rbac.authorization.k8s.io", "ClusterRole") => rbac::cluster_role(object),
        ("rbac.authorization.k8s.io", "RoleBinding") => rbac::role_binding(object),
        ("rbac.authorization.k8s.io", "ClusterRoleBinding") => rbac::cluster_role_binding(object),
        ("storage.k8s.io", "StorageClass") => storage::class(object),
        ("storage.k8s.io", "CSIDriver") => storage::csi_driver(object),
        ("storage.k8s.io", "VolumeAttributesClass") => classes::attributes(object),
        ("storage.k8s.io", "CSIStorageCapacity") => classes::capacity(object),
        ("node.k8s.io", "RuntimeClass") => classes::runtime(object),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => crd::create(object),
        _ => Errors::new(),
    }
}

/// The kind's own rules for a change; its metadata is theirs to check, too.
pub fn update(gvk: &Gvk, new: &Object, old: &Object) -> Errors {
    match parts(gvk) {
        ("apps", "Deployment") => workloads::deployment_update(new, old),
        ("apps", "ReplicaSet") => workloads::replica_set_update(new, old),
        ("apps", "StatefulSet") => workloads::stateful_set_update(new, old),
        ("apps", "DaemonSet") => workloads::daemon_set_update(new, old),
        ("apps", "ControllerRevision") => cluster::controller_revision_update(new, old),
        ("", "ReplicationController") => workloads::replication_controller_update(new, old),
        ("batch", "Job") => job::update(new, old),
        ("batch", "CronJob") => cron_job::update(new, old),
        ("", "ConfigMap") => config::config_map_update(new, old),
        ("", "Secret") => config::secret_update(new, old),
        ("", "Service") => service::update(new, old),
        ("", "Endpoints") => endpoints::endpoints_update(new, old),
        ("discovery.k8s.io", "EndpointSlice") => endpoints::slice_update(new, old),
        ("", "PersistentVolumeClaim") => claim::update(new, old),
        ("", "PersistentVolume") => volume::update(new, old),
        ("", "Namespace") => cluster::namespace_update(new, old),
        ("", "Node") => cluster::node_update(new, old),
        ("" | "events.k8s.io", "Event") => event::update(new, old),
        ("", "ServiceAccount") => cluster::service_account_update(new, old),
        ("", "PodTemplate") => cluster::pod_template_update(new, old),
        ("", "LimitRange") => limits::limit_range_update(new, old),
        ("", "ResourceQuota") => limits::resource_quota_update(new, old),
        ("coordination.k8s.io", "Lease") => cluster::lease_update(new, old),
        ("policy", "PodDisruptionBudget") => cluster::disruption_budget(new),
        ("scheduling.k8s.io", "PriorityClass") => cluster::priority_class_update(new, old),
        ("networking.k8s.io", "Ingress") => networking::ingress_update(new, old),
        ("networking.k8s.io", "IngressClass") => networking::ingress_class_update(new, old),
        ("networking.k8s.io", "NetworkPolicy") => networking::network_policy_update(new, old),
        ("autoscaling", "HorizontalPodAutoscaler") => autoscaling::update(new, old),
        ("rbac.authorization.k8s.io", "Role") => rbac::update(new, old, rbac::role),
        ("rbac.authorization.k8s.io", "ClusterRole") => rbac::update(new, old, rbac::cluster_role),
        ("rbac.authorization.k8s.io", "RoleBinding") => rbac::binding_update(new, old, rbac::role_binding),
        ("rbac.authorization.k8s.io", "ClusterRoleBinding") => {
            rbac::binding_update(new, old, rbac::cluster_role_binding)
        }
        ("storage.k8s.io", "StorageClass") => storage::class_update(new, old),
        ("storage.k8s.io", "CSIDriver") => storage::csi_driver_update(new, old),
        ("storage.k8s.io", "VolumeAttributesClass") => classes::attributes_update(new, old),
        ("storage.k8s.io", "CSIStorageCapacity") => classes::capacity_update(new, old),
        ("node.k8s.io", "RuntimeClass") => classes::runtime_update(new, old),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => crd::update(new, old),
        _ => Errors::new(),
    }
}

/// The kind's own rules for a change of its status.
pub fn update_status(gvk: &Gvk, new: &Object, old: &Object) -> Errors {
    match parts(gvk) {
        ("apps", "Deployment") => statuses::deployment(new, old),
        ("apps", "ReplicaSet") | ("", "ReplicationController") => statuses::replicas(new, old),
        ("apps", "StatefulSet") => statuses::stateful_set(new, old),
        ("apps", "DaemonSet") => statuses::daemon_set(new, old),
        ("batch", "Job") => job_status::update(new, old),
        ("", "Service") => service::update_status(new, old),
        ("", "PersistentVolumeClaim") => claim::update_status(new, old),
        ("", "PersistentVolume") => volume::update_status(new, old),
        ("", "Namespace") => cluster::namespace_status(new, old),
        ("", "Node") => cluster::node_status_update(new, old),
        ("", "ResourceQuota") => limits::resource_quota_status(new, old),
        ("policy", "PodDisruptionBudget") => cluster::disruption_budget_status(new),
        ("networking.k8s.io", "Ingress") => networking::ingress_status(new, old),
        ("autoscaling", "HorizontalPodAutoscaler") => autoscaling::update_status(new, old),
        ("batch", "CronJob") => Errors::new(),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => crd::update_status(new, old),
        _ => Errors::new(),
    }
}

/// Warnings about an accepted object.
pub fn warnings(gvk: &Gvk, new: &Object, old: Option<&Object>) -> Vec<String> {
    match parts(gvk) {
        ("apps", "Deployment" | "ReplicaSet") => workloads::warnings(new, old, true),
        ("", "ReplicationController") => workloads::replication_controller_warnings(new, old),
        ("apps", "StatefulSet") => workloads::stateful_set_warnings(new, old),
        ("apps", "DaemonSet") => workloads::warnings(new, old, false),
        ("batch", "Job") => job::warnings(new, old),
        ("batch", "CronJob") => cron_job::warnings(new, old),
        ("", "PodTemplate") => cluster::pod_template_warnings(new, old),
        ("", "Secret") => config::secret_warnings(new),
        ("", "Service") => service::warnings(new),
        ("", "Endpoints") => endpoints::endpoints_warnings(new),
        ("discovery.k8s.io", "EndpointSlice") => endpoints::slice_warnings(new, old),
        ("", "PersistentVolumeClaim") => claim::warnings(new),
        ("", "PersistentVolume") => volume::warnings(new),
        ("", "Node") => cluster::node_warnings(new),
        ("", "ServiceAccount") => cluster::service_account_warnings(new),
        ("networking.k8s.io", "Ingress") => networking::ingress_warnings(new, old),
        ("networking.k8s.io", "NetworkPolicy") => networking::network_policy_warnings(new),
        ("storage.k8s.io", "StorageClass") => storage::class_warnings(new),
        ("storage.k8s.io", "CSIStorageCapacity") => classes::capacity_warnings(new),
        ("node.k8s.io", "RuntimeClass") => classes::runtime_warnings(new),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => crd::warnings(new, old),
        _ => Vec::new(),
    }
}
