//! Which kind has which defaults (Pods apart).

use super::{autoscaling, batch, claims, cluster, networking, rbac, service, workloads};
use crate::api::{Gvk, Json};

/// Fills the defaults of every kind but Pod.
pub fn fill(gvk: &Gvk, tree: &mut Json) {
    match (gvk.group.as_str(), gvk.version.as_str(), gvk.kind.as_str()) {
        ("apps", "v1", "Deployment") => workloads::deployment(tree),
        ("apps", "v1", "ReplicaSet") => workloads::replica_set(tree),
        ("apps", "v1", "StatefulSet") => workloads::stateful_set(tree),
        ("apps", "v1", "DaemonSet") => workloads::daemon_set(tree),
        ("batch", "v1", "Job") => batch::job(tree),
        ("batch", "v1", "CronJob") => batch::cron_job(tree),
        ("", "v1", "ReplicationController") => workloads::replication_controller(tree),
        ("", "v1", "PodTemplate") => workloads::pod_template(tree),
        ("", "v1", "Service") => service::service(tree),
        ("", "v1", "Endpoints") => service::endpoints(tree),
        ("", "v1", "PersistentVolumeClaim") => claims::claim(tree),
        ("", "v1", "PersistentVolume") => claims::volume(tree),
        ("", "v1", "Namespace") => cluster::namespace(tree),
        ("", "v1", "Node") => cluster::node(tree),
        ("", "v1", "Secret") => cluster::secret(tree),
        ("", "v1", "ConfigMap") => cluster::config_map(tree),
        ("", "v1", "LimitRange") => cluster::limit_range(tree),
        ("", "v1", "ResourceQuota") => cluster::resource_quota(tree),
        ("discovery.k8s.io", "v1", "EndpointSlice") => service::endpoint_slice(tree),
        ("scheduling.k8s.io", "v1", "PriorityClass") => cluster::priority_class(tree),
        ("storage.k8s.io", "v1", "StorageClass") => cluster::storage_class(tree),
        ("storage.k8s.io", "v1", "CSIDriver") => cluster::csi_driver(tree),
        ("networking.k8s.io", "v1", "NetworkPolicy") => networking::network_policy(tree),
        ("networking.k8s.io", "v1", "IngressClass") => networking::ingress_class(tree),
        ("autoscaling", "v1", "HorizontalPodAutoscaler") => autoscaling::v1(tree),
        ("autoscaling", "v2", "HorizontalPodAutoscaler") => autoscaling::v2(tree),
        ("rbac.authorization.k8s.io", "v1", "RoleBinding" | "ClusterRoleBinding") => rbac::binding(tree),
        ("apiextensions.k8s.io", "v1", "CustomResourceDefinition") => cluster::definition(tree),
        _ => {}
    }
}
