//! Where volumes come from. Source: k8s.io/kubectl/pkg/describe/describe.go (`describeVolumes` and the
//! `print…VolumeSource` functions).

use super::document::{Document, or_unset, plain, shorten};
use super::storage::claim_details;
use crate::api::quantity::Quantity;
use crate::api::tree::Tree;
use crate::api::{Json, JsonMap};
use crate::api::go;

/// Attributes longer than this are cut: `maxAnnotationLen`.
const LONGEST: usize = 140;

/// How a field of a source is written.
enum How {
    /// As it is; nothing where it is absent.
    Plain,
    /// `true` or `false`.
    Flag,
    /// A number; 0 where it is absent.
    Number,
    /// `<none>` where it is absent.
    OrNone,
    /// `<unset>` where it is absent.
    OrUnset,
    /// `[a b]`.
    List,
    /// `a, b`.
    Joined,
    /// `map[a:b]`.
    Map,
    /// A reference to a Secret, as its `String` method writes it.
    Secret,
}

use How::{Flag, Joined, List, Map, Number, OrNone, OrUnset, Plain, Secret};

/// A kind of source: its field, what it says of itself, and its lines.
type Source = (&'static str, &'static str, &'static [(&'static str, &'static str, How)]);

/// Sources that pods and volumes write alike.
const SOURCES: &[Source] = &[
    ("hostPath", "HostPath (bare host directory volume)", &[("Path:", "path", Plain), ("HostPathType:", "type", OrNone)]),
    (
        "gcePersistentDisk",
        "GCEPersistentDisk (a Persistent Disk resource in Google Compute Engine)",
        &[("PDName:", "pdName", Plain), ("FSType:", "fsType", Plain), ("Partition:", "partition", Number), ("ReadOnly:", "readOnly", Flag)],
    ),
    (
        "awsElasticBlockStore",
        "AWSElasticBlockStore (a Persistent Disk resource in AWS)",
        &[("VolumeID:", "volumeID", Plain), ("FSType:", "fsType", Plain), ("Partition:", "partition", Number), ("ReadOnly:", "readOnly", Flag)],
    ),
    (
        "gitRepo",
        "GitRepo (a volume that is pulled from git when the pod is created)",
        &[("Repository:", "repository", Plain), ("Revision:", "revision", Plain)],
    ),
    ("secret", "Secret (a volume populated by a Secret)", &[("SecretName:", "secretName", Plain), ("Optional:", "optional", Flag)]),
    ("configMap", "ConfigMap (a volume populated by a ConfigMap)", &[("Name:", "name", Plain), ("Optional:", "optional", Flag)]),
    (
        "nfs",
        "NFS (an NFS mount that lasts the lifetime of a pod)",
        &[("Server:", "server", Plain), ("Path:", "path", Plain), ("ReadOnly:", "readOnly", Flag)],
    ),
    (
        "iscsi",
        "ISCSI (an ISCSI Disk resource that is attached to a kubelet's host machine and then exposed to the pod)",
        &[
            ("TargetPortal:", "targetPortal", Plain),
            ("IQN:", "iqn", Plain),
            ("Lun:", "lun", Number),
            ("ISCSIInterface", "iscsiInterface", Plain),
            ("FSType:", "fsType", Plain),
            ("ReadOnly:", "readOnly", Flag),
            ("Portals:", "portals", List),
            ("DiscoveryCHAPAuth:", "chapAuthDiscovery", Flag),
            ("SessionCHAPAuth:", "chapAuthSession", Flag),
            ("SecretRef:", "secretRef", Secret),
            ("InitiatorName:", "initiatorName", OrNone),
        ],
    ),
    (
        "glusterfs",
        "Glusterfs (a Glusterfs mount on the host that shares a pod's lifetime)",
        &[("EndpointsName:", "endpoints", Plain), ("Path:", "path", Plain), ("ReadOnly:", "readOnly", Flag)],
    ),
    (
        "persistentVolumeClaim",
        "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)",
        &[("ClaimName:", "claimName", Plain), ("ReadOnly:", "readOnly", Flag)],
    ),
    (
        "rbd",
        "RBD (a Rados Block Device mount on the host that shares a pod's lifetime)",
        &[
            ("CephMonitors:", "monitors", List),
            ("RBDImage:", "image", Plain),
            ("FSType:", "fsType", Plain),
            ("RBDPool:", "pool", Plain),
            ("RadosUser:", "user", Plain),
            ("Keyring:", "keyring", Plain),
            ("SecretRef:", "secretRef", Secret),
            ("ReadOnly:", "readOnly", Flag),
        ],
    ),
    (
        "quobyte",
        "Quobyte (a Quobyte mount on the host that shares a pod's lifetime)",
        &[("Registry:", "registry", Plain), ("Volume:", "volume", Plain), ("ReadOnly:", "readOnly", Flag)],
    ),
    (
        "azureDisk",
        "AzureDisk (an Azure Data Disk mount on the host and bind mount to the pod)",
        &[
            ("DiskName:", "diskName", Plain),
            ("DiskURI:", "diskURI", Plain),
            ("Kind: ", "kind", Plain),
            ("FSType:", "fsType", Plain),
            ("CachingMode:", "cachingMode", Plain),
            ("ReadOnly:", "readOnly", Flag),
        ],
    ),
    (
        "vsphereVolume",
        "vSphereVolume (a Persistent Disk resource in vSphere)",
        &[("VolumePath:", "volumePath", Plain), ("FSType:", "fsType", Plain), ("StoragePolicyName:", "storagePolicyName", Plain)],
    ),
    (
        "cinder",
        "Cinder (a Persistent Disk resource in OpenStack)",
        &[("VolumeID:", "volumeID", Plain), ("FSType:", "fsType", Plain), ("ReadOnly:", "readOnly", Flag), ("SecretRef:", "secretRef", Secret)],
    ),
    (
        "photonPersistentDisk",
        "PhotonPersistentDisk (a Persistent Disk resource in photon platform)",
        &[("PdID:", "pdID", Plain), ("FSType:", "fsType", Plain)],
    ),
    ("portworxVolume", "PortworxVolume (a Portworx Volume resource)", &[("VolumeID:", "volumeID", Plain)]),
    (
        "scaleIO",
        "ScaleIO (a persistent volume backed by a block device in ScaleIO)",
        &[
            ("Gateway:", "gateway", Plain),
            ("System:", "system", Plain),
            ("Protection Domain:", "protectionDomain", Plain),
            ("Storage Pool:", "storagePool", Plain),
            ("Storage Mode:", "storageMode", Plain),
            ("VolumeName:", "volumeName", Plain),
            ("FSType:", "fsType", Plain),
            ("ReadOnly:", "readOnly", Flag),
        ],
    ),
    (
        "cephfs",
        "CephFS (a CephFS mount on the host that shares a pod's lifetime)",
        &[
            ("Monitors:", "monitors", List),
            ("Path:", "path", Plain),
            ("User:", "user", Plain),
            ("SecretFile:", "secretFile", Plain),
            ("SecretRef:", "secretRef", Secret),
            ("ReadOnly:", "readOnly", Flag),
        ],
    ),
    (
        "storageos",
        "StorageOS (a StorageOS Persistent Disk resource)",
        &[
            ("VolumeName:", "volumeName", Plain),
            ("VolumeNamespace:", "volumeNamespace", Plain),
            ("FSType:", "fsType", Plain),
            ("ReadOnly:", "readOnly", Flag),
        ],
    ),
    (
        "fc",
        "FC (a Fibre Channel disk)",
        &[("TargetWWNs:", "targetWWNs", Joined), ("LUN:", "lun", OrNone), ("FSType:", "fsType", Plain), ("ReadOnly:", "readOnly", Flag)],
    ),
    (
        "azureFile",
        "AzureFile (an Azure File Service mount on the host and bind mount to the pod)",
        &[("SecretName:", "secretName", Plain), ("ShareName:", "shareName", Plain), ("ReadOnly:", "readOnly", Flag)],
    ),
    (
        "flexVolume",
        "FlexVolume (a generic volume resource that is provisioned/attached using an exec based plugin)",
        &[
            ("Driver:", "driver", Plain),
            ("FSType:", "fsType", Plain),
            ("SecretRef:", "secretRef", Secret),
            ("ReadOnly:", "readOnly", Flag),
            ("Options:", "options", Map),
        ],
    ),
    (
        "flocker",
        "Flocker (a Flocker volume mounted by the Flocker agent)",
        &[("DatasetName:", "datasetName", Plain), ("DatasetUUID:", "datasetUUID", Plain)],
    ),
    ("image", "Image (a container image or OCI artifact)", &[("Reference:", "reference", Plain), ("PullPolicy:", "pullPolicy", Plain)]),
    (
        "csi",
        "CSI (a Container Storage Interface (CSI) volume source)",
        &[("Driver:", "driver", Plain), ("FSType:", "fsType", Plain), ("ReadOnly:", "readOnly", Flag)],
    ),
    ("local", "LocalVolume (a persistent volume backed by local storage on a node)", &[("Path:", "path", Plain)]),
];

/// Sources that a PersistentVolume writes in a way of its own.
const PERSISTENT: &[Source] = &[
    (
        "glusterfs",
        "Glusterfs (a Glusterfs mount on the host that shares a pod's lifetime)",
        &[
            ("EndpointsName:", "endpoints", Plain),
            ("EndpointsNamespace:", "endpointsNamespace", OrUnset),
            ("Path:", "path", Plain),
            ("ReadOnly:", "readOnly", Flag),
        ],
    ),
    (
        "azureFile",
        "AzureFile (an Azure File Service mount on the host and bind mount to the pod)",
        &[
            ("SecretName:", "secretName", Plain),
            ("SecretNamespace:", "secretNamespace", Plain),
            ("ShareName:", "shareName", Plain),
            ("ReadOnly:", "readOnly", Flag),
        ],
    ),
    (
        "csi",
        "CSI (a Container Storage Interface (CSI) volume source)",
        &[("Driver:", "driver", Plain), ("FSType:", "fsType", Plain), ("VolumeHandle:", "volumeHandle", Plain), ("ReadOnly:", "readOnly", Flag)],
    ),
];

/// Whose sources are written.
#[derive(Clone, Copy)]
enum Table {
    Pod,
    Persistent,
}

impl Table {
    fn find(self, key: &str) -> Option<&'static Source> {
        let own = match self {
            Table::Pod => None,
            Table::Persistent => PERSISTENT.iter().find(|source| source.0 == key),
        };
        own.or_else(|| SOURCES.iter().find(|source| source.0 == key))
    }
}

/// The volumes of a pod; those of a template stand a little deeper.
pub fn volumes(doc: &mut Document, volumes: &[Json], of_template: bool) {
    let (space, indent) = if of_template { ("  ", " ") } else { ("", "") };
    if volumes.is_empty() {
        return doc.field(0, &format!("{space}Volumes"), "<none>");
    }
    doc.line(0, &format!("{space}Volumes:"));
    for volume in volumes {
        doc.line(1, &format!("{indent}{}:", volume.text("name")));
        let source = volume.as_object().into_iter().flatten().find(|(key, value)| *key != "name" && value.is_object());
        let Some((key, value)) = source else {
            doc.line(1, "<unknown>");
            continue;
        };
        match key.as_str() {
            "emptyDir" => empty_dir(doc, value),
            "projected" => projected(doc, value),
            "downwardAPI" => downward(doc, value),
            "ephemeral" => {
                doc.field(2, "Type", "EphemeralVolume (an inline specification for a volume that gets created and deleted with the pod)");
                let template = value.field("volumeClaimTemplate");
                if !template.is_null() {
                    doc.nest(2, |doc| claim_details(doc, template, false));
                }
            }
            _ => plain_source(doc, key, value, Table::Pod),
        }
    }
}

/// The source of a PersistentVolume, among the fields of its spec.
pub fn persistent(doc: &mut Document, spec: &JsonMap) {
    let known = |key: &str| SOURCES.iter().any(|source| source.0 == key);
    match spec.iter().find(|(key, value)| known(key) && value.is_object()) {
        Some((key, value)) if key == "scaleIO" => scale_io(doc, value),
        Some((key, value)) => plain_source(doc, key, value, Table::Persistent),
        None => doc.line(1, "<unknown>"),
    }
}

fn plain_source(doc: &mut Document, key: &str, value: &Json, table: Table) {
    let Some((_, about, lines)) = table.find(key) else { return doc.line(1, "<unknown>") };
    doc.field(2, "Type", about);
    for (title, field, how) in *lines {
        doc.line(2, &format!("{title}\t{}", show(value.field(field), how, table)));
    }
    if key == "csi" {
        attributes(doc, value.field("volumeAttributes"));
    }
}

fn show(value: &Json, how: &How, table: Table) -> String {
    match how {
        Plain => plain(value),
        Flag => value.as_bool().unwrap_or(false).to_string(),
        Number => value.as_i64().unwrap_or(0).to_string(),
        OrNone if value.is_null() => "<none>".into(),
        OrNone => plain(value),
        OrUnset => or_unset(value),
        List if value.is_null() => "[]".into(),
        Joined => value.as_array().into_iter().flatten().map(plain).collect::<Vec<_>>().join(", "),
        Map if value.is_null() => "map[]".into(),
        List | Map => go::display(value),
        Secret if value.is_null() => "nil".into(),
        Secret => {
            let (name, namespace) = (value.text("name"), value.text("namespace"));
            match table {
                Table::Pod => format!("&LocalObjectReference{{Name:{name},}}"),
                Table::Persistent => format!("&SecretReference{{Name:{name},Namespace:{namespace},}}"),
            }
        }
    }
}

fn attributes(doc: &mut Document, attributes: &Json) {
    let pairs = attributes.as_object().into_iter().flatten().map(|(k, v)| format!("{k}={}", plain(v)));
    let pairs: Vec<String> = pairs.map(|pair| shorten(&pair, LONGEST)).collect();
    doc.write(2, "VolumeAttributes:\t");
    if pairs.is_empty() {
        return doc.line(0, "<none>");
    }
    for (i, pair) in pairs.iter().enumerate() {
        if i > 0 {
            doc.write(2, "");
            doc.write(2, "\t");
        }
        doc.line(2, pair);
    }
}

fn empty_dir(doc: &mut Document, source: &Json) {
    let limit = source.opt_text("sizeLimit").and_then(|text| Quantity::parse(text).ok()).filter(|q| q.signum() > 0);
    doc.field(2, "Type", "EmptyDir (a temporary directory that shares a pod's lifetime)");
    doc.field(2, "Medium", source.text("medium"));
    doc.field(2, "SizeLimit", limit.map_or("<unset>".into(), |q| q.to_string()));
}

fn projected(doc: &mut Document, source: &Json) {
    doc.field(2, "Type", "Projected (a volume that contains injected data from multiple sources)");
    for source in source.list("sources") {
        let (secret, map, token) = (source.field("secret"), source.field("configMap"), source.field("serviceAccountToken"));
        if !secret.is_null() {
            doc.field(2, "SecretName", secret.text("name"));
            doc.field(2, "Optional", secret.flag("optional"));
        } else if source.has("downwardAPI") {
            doc.field(2, "DownwardAPI", "true");
        } else if !map.is_null() {
            doc.field(2, "ConfigMapName", map.text("name"));
            doc.field(2, "Optional", map.flag("optional"));
        } else if !token.is_null() {
            doc.field(2, "TokenExpirationSeconds", token.int("expirationSeconds"));
        }
    }
}

fn downward(doc: &mut Document, source: &Json) {
    doc.field(2, "Type", "DownwardAPI (a volume populated by information about the pod)");
    doc.line(2, "Items:");
    for item in source.list("items") {
        let (field, resource) = (item.field("fieldRef"), item.field("resourceFieldRef"));
        if !field.is_null() {
            doc.line(3, &format!("{} -> {}", field.text("fieldPath"), item.text("path")));
        }
        if !resource.is_null() {
            doc.line(3, &format!("{} -> {}", resource.text("resource"), item.text("path")));
        }
    }
}

fn scale_io(doc: &mut Document, source: &Json) {
    let Some((_, about, lines)) = Table::Persistent.find("scaleIO") else { return };
    doc.field(2, "Type", about);
    for (title, field, how) in *lines {
        if *field == "fsType" {
            doc.field(2, "SecretName", source.field("secretRef").text("name"));
            doc.field(2, "SecretNamespace", source.field("secretRef").text("namespace"));
        }
        doc.line(2, &format!("{title}\t{}", show(source.field(field), how, Table::Persistent)));
    }
}
