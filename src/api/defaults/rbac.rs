//! Defaults of RoleBinding and ClusterRoleBinding. Source: pkg/apis/rbac/v1/defaults.go.

use crate::api::Json;
use crate::api::tree::{Tree, child, default_text, items};

const GROUP: &str = "rbac.authorization.k8s.io";

pub fn binding(tree: &mut Json) {
    if let Some(role) = child(tree, "roleRef") {
        default_text(role, "apiGroup", GROUP);
    }
    for subject in items(tree, "subjects") {
        if matches!(subject.text("kind"), "User" | "Group") {
            default_text(subject, "apiGroup", GROUP);
        }
    }
}
