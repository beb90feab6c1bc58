use serde_json::json;

use super::*;
use crate::api::Json;
use crate::api::schema::Schema;

struct Counting(u64);

impl Random for Counting {
    fn next_u64(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

/// A state with these objects in it.
fn state(objects: &[Json]) -> State {
    let mut state = State::new();
    for tree in objects {
        let object = Object::new(tree.clone());
        let resource = Schema::get().resource_of(&object.gvk()).unwrap();
        let key = Key::new(resource.group_resource(), object.namespace(), object.name());
        state.put(key, object);
    }
    state
}

fn namespace(name: &str, labels: Json) -> Json {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
}

fn pod(spec: Json) -> Json {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "ns"}, "spec": spec})
}

fn container(more: Json) -> Json {
    let mut container = json!({"name": "c", "image": "i"});
    container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    container
}

struct Asked {
    object: Object,
    warnings: Vec<String>,
}

/// Asks one plugin about a write.
fn ask(plugin: &str, state: &State, operation: Operation, tree: &Json, old: Option<&Json>) -> Result<Asked, Status> {
    let plugins = [plugin.to_owned()];
    let world = World {
        state,
        plugins: &plugins,
        pod_security: PodSecurityLevel::Privileged,
        now: "2026-01-01T00:00:00Z".parse().unwrap(),
    };
    let mut object = Object::new(tree.clone());
    let old = old.map(|o| Object::new(o.clone()));
    let resource = Schema::get().resource_of(&object.gvk()).unwrap();
    let namespace = object.namespace().to_owned();
    let name = if operation == Operation::Create { String::new() } else { object.name().to_owned() };
    let attributes =
        Attributes { operation, resource, subresource: "", namespace: &namespace, name: &name };
    if operation == Operation::Delete {
        delete(&world, &attributes, &object)?;
        return Ok(Asked { object, warnings: Vec::new() });
    }
    mutate(&world, &mut Counting(0), &attributes, &mut object, old.as_ref())?;
    let warnings = validate(&world, &attributes, &object, old.as_ref())?;
    Ok(Asked { object, warnings })
}

fn create(plugin: &str, state: &State, tree: &Json) -> Result<Asked, Status> {
    ask(plugin, state, Operation::Create, tree, None)
}

fn refusal(asked: Result<Asked, Status>) -> String {
    asked.err().expect("refused").message
}

#[test]
fn nothing_is_made_where_no_namespace_is() {
    let ending = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns"}, "status": {"phase": "Terminating"}});
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "ns"}});
    let refused = create("NamespaceLifecycle", &state(&[]), &map).err().unwrap();
    assert_eq!((refused.code, refused.message.as_str()), (404, "namespaces \"ns\" not found"));
    let ending = state(&[ending]);
    let refused = create("NamespaceLifecycle", &ending, &map).err().unwrap();
    assert_eq!(
        refused.message,
        "configmaps \"x\" is forbidden: unable to create new content in namespace ns because it is being terminated"
    );
    assert_eq!(refused.details.unwrap()["causes"][0]["reason"], "NamespaceTerminating");
    assert!(ask("NamespaceLifecycle", &ending, Operation::Update, &map, Some(&map)).is_ok());
    let default = namespace("default", json!({}));
    let refused = refusal(ask("NamespaceLifecycle", &ending, Operation::Delete, &default, None));
    assert_eq!(refused, "namespaces \"default\" is forbidden: this namespace may not be deleted");
}

#[test]
fn pods_get_their_account_and_a_token_volume() {
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "sa", "namespace": "ns"},
        "imagePullSecrets": [{"name": "registry"}]});
    let with = state(&[account]);
    let spec = json!({"serviceAccountName": "sa", "containers": [container(json!({}))], "initContainers": [
        container(json!({"name": "i", "volumeMounts": [{"name": "own", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}]}))]});
    let asked = create("ServiceAccount", &with, &pod(spec)).unwrap();
    let spec = &asked.object.json()["spec"];
    assert_eq!(spec["serviceAccount"], "sa");
    assert_eq!(spec["imagePullSecrets"], json!([{"name": "registry"}]));
    let volume = spec["volumes"][0]["name"].as_str().unwrap();
    assert!(volume.starts_with("kube-api-access-") && volume.len() == 21, "{volume}");
    assert_eq!(spec["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"], 3607);
    assert_eq!(spec["containers"][0]["volumeMounts"][0]["name"], volume);
    assert_eq!(spec["initContainers"][0]["volumeMounts"].as_array().unwrap().len(), 1);

    let quiet = pod(json!({"automountServiceAccountToken": false, "containers": [container(json!({}))]}));
    let asked = create("ServiceAccount", &with, &quiet).unwrap();
    assert_eq!(asked.object.json()["spec"]["serviceAccountName"], "default");
    assert!(asked.object.json()["spec"].get("volumes").is_none());

    let missing = pod(json!({"serviceAccountName": "no", "containers": []}));
    assert_eq!(
        refusal(create("ServiceAccount", &with, &missing)),
        "pods \"x\" is forbidden: error looking up service account ns/no: serviceaccount \"no\" not found"
    );
}

#[test]
fn an_account_may_bound_the_secrets_of_its_pods() {
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "sa", "namespace": "ns",
        "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}, "secrets": [{"name": "good"}]});
    let with = state(&[account]);
    let using = |secret: &str| {
        pod(json!({"serviceAccountName": "sa", "automountServiceAccountToken": false, "containers": [container(json!({}))],
            "volumes": [{"name": "v", "secret": {"secretName": secret}}]}))
    };
    assert!(create("ServiceAccount", &with, &using("good")).is_ok());
    assert_eq!(
        refusal(create("ServiceAccount", &with, &using("bad"))),
        "pods \"x\" is forbidden: volume with secret.secretName=\"bad\" is not allowed because service account sa \
         does not reference that secret"
    );
}

#[test]
fn priorities_come_from_classes() {
    let class = |name: &str, value: i64, default: bool| {
        json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
            "value": value, "globalDefault": default, "preemptionPolicy": "Never"})
    };
    let with = state(&[class("high", 1000, false), class("usual", 10, true)]);
    let spec = |asked: Asked| asked.object.json()["spec"].clone();
    let asked = spec(create("Priority", &with, &pod(json!({"priorityClassName": "high"}))).unwrap());
    assert_eq!((&asked["priority"], &asked["preemptionPolicy"]), (&json!(1000), &json!("Never")));
    let asked = spec(create("Priority", &with, &pod(json!({}))).unwrap());
    assert_eq!((&asked["priority"], &asked["priorityClassName"]), (&json!(10), &json!("usual")));
    let asked = spec(create("Priority", &state(&[]), &pod(json!({}))).unwrap());
    assert_eq!((&asked["priority"], &asked["preemptionPolicy"]), (&json!(0), &json!("PreemptLowerPriority")));
    let system = pod(json!({"priorityClassName": "system-node-critical"}));
    assert_eq!(spec(create("Priority", &with, &system).unwrap())["priority"], 2_000_001_000);
    assert_eq!(
        refusal(create("Priority", &with, &pod(json!({"priorityClassName": "no"})))),
        "pods \"x\" is forbidden: no PriorityClass with name no was found"
    );
    assert_eq!(
        refusal(create("Priority", &with, &pod(json!({"priority": 7})))),
        "pods \"x\" is forbidden: the integer value of priority (7) must not be provided in pod spec; \
         priority admission controller computed 10 from the given PriorityClass name"
    );
    assert_eq!(
        refusal(create("Priority", &with, &class("other", 1, true))),
        "priorityclasses.scheduling.k8s.io \"other\" is forbidden: PriorityClass usual is already marked as default. \
         Only one default can exist"
    );
}

#[test]
fn limit_ranges_give_defaults_and_bounds() {
    let range = json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "l", "namespace": "ns"}, "spec": {"limits": [
        {"type": "Container", "default": {"cpu": "500m", "memory": "1Gi"}, "defaultRequest": {"cpu": "100m"},
            "min": {"cpu": "50m"}, "max": {"cpu": "1"}, "maxLimitRequestRatio": {"cpu": "8"}},
        {"type": "Pod", "max": {"cpu": "1500m"}},
        {"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "10Gi"}}]}});
    let with = state(&[range]);
    let asked = create("LimitRanger", &with, &pod(json!({"containers": [container(json!({}))]}))).unwrap();
    assert_eq!(
        asked.object.json()["spec"]["containers"][0]["resources"],
        json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "500m", "memory": "1Gi"}})
    );
    assert_eq!(
        asked.object.annotation("kubernetes.io/limit-ranger"),
        Some("LimitRanger plugin set: cpu request for container c; cpu, memory limit for container c")
    );
    let with_cpu = |request: &str, limit: &str| {
        pod(json!({"containers": [container(json!({"resources": {"requests": {"cpu": request}, "limits": {"cpu": limit}}}))]}))
    };
    let refused = |tree: &Json| refusal(create("LimitRanger", &with, tree));
    assert_eq!(
        refused(&with_cpu("10m", "50m")),
        "pods \"x\" is forbidden: minimum cpu usage per Container is 50m, but request is 10m"
    );
    assert_eq!(
        refused(&with_cpu("200m", "2")),
        "pods \"x\" is forbidden: [maximum cpu usage per Container is 1, but limit is 2, \
         cpu max limit to request ratio per Container is 8, but provided ratio is 10.000000, \
         maximum cpu usage per Pod is 1500m, but limit is 2]"
    );
    let claim = |size: &str| {
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "x", "namespace": "ns"},
            "spec": {"resources": {"requests": {"storage": size}}}})
    };
    assert!(create("LimitRanger", &with, &claim("5Gi")).is_ok());
    assert_eq!(
        refused(&claim("20Gi")),
        "persistentvolumeclaims \"x\" is forbidden: maximum storage usage per PersistentVolumeClaim is 10Gi, but request is 20Gi"
    );
}

fn quota(hard: Json, more: Json) -> Json {
    let mut quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q", "namespace": "ns"}, "spec": {"hard": hard}});
    quota["spec"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    quota
}

#[test]
fn quotas_are_charged_and_refuse() {
    let running = |name: &str, cpu: &str| {
        let mut pod = pod(json!({"containers": [container(json!({"resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}}))]}));
        pod["metadata"]["name"] = json!(name);
        pod
    };
    let hard = json!({"pods": "3", "requests.cpu": "1", "services.nodeports": "1", "count/deployments.apps": "0"});
    let with = state(&[quota(hard, json!({})), running("a", "300m"), running("b", "400m")]);
    assert!(create("ResourceQuota", &with, &running("c", "300m")).is_ok());
    assert_eq!(
        refusal(create("ResourceQuota", &with, &running("c", "400m"))),
        "pods \"c\" is forbidden: exceeded quota: q, requested: requests.cpu=400m, used: requests.cpu=700m, limited: requests.cpu=1"
    );
    assert_eq!(
        refusal(create("ResourceQuota", &with, &pod(json!({"containers": [container(json!({}))]})))),
        "pods \"x\" is forbidden: failed quota: q: must specify requests.cpu for: c"
    );
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "ns"}});
    assert_eq!(
        refusal(create("ResourceQuota", &with, &deployment)),
        "deployments.apps \"d\" is forbidden: exceeded quota: q, requested: count/deployments.apps=1, \
         used: count/deployments.apps=0, limited: count/deployments.apps=0"
    );
    let service = |kind: &str| {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "ns"},
            "spec": {"type": kind, "ports": [{"port": 1}, {"port": 2}]}})
    };
    assert!(create("ResourceQuota", &with, &service("ClusterIP")).is_ok());
    assert_eq!(
        refusal(ask("ResourceQuota", &with, Operation::Update, &service("NodePort"), Some(&service("ClusterIP")))),
        "services \"s\" is forbidden: exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=0, \
         limited: services.nodeports=1"
    );
    let outdated = resource_quota::outdated(&with, "ns", "2026-01-01T00:00:00Z".parse().unwrap());
    assert_eq!(
        outdated[0].1.json()["status"]["used"],
        json!({"pods": "2", "requests.cpu": "700m", "services.nodeports": "0", "count/deployments.apps": "0"})
    );
}

#[test]
fn quotas_may_be_about_some_pods_only() {
    let one = |more: Json| {
        let mut spec = json!({"containers": [container(json!({}))]});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        pod(spec)
    };
    let none = json!({"pods": "0"});
    let allows = |more: Json, tree: &Json| create("ResourceQuota", &state(&[quota(none.clone(), more)]), tree).is_ok();
    assert!(!allows(json!({"scopes": ["BestEffort"]}), &one(json!({}))));
    assert!(allows(json!({"scopes": ["NotBestEffort"]}), &one(json!({}))));
    assert!(!allows(json!({"scopes": ["Terminating"]}), &one(json!({"activeDeadlineSeconds": 5}))));
    assert!(allows(json!({"scopes": ["Terminating"]}), &one(json!({}))));
    let class = json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]}});
    assert!(!allows(class.clone(), &one(json!({"priorityClassName": "high"}))));
    assert!(allows(class, &one(json!({"priorityClassName": "low"}))));
}

#[test]
fn pods_tolerate_a_node_that_is_away_for_five_minutes() {
    let asked = create("DefaultTolerationSeconds", &state(&[]), &pod(json!({}))).unwrap();
    let keys = |object: &Object| {
        let list = object.json()["spec"]["tolerations"].as_array().cloned().unwrap_or_default();
        list.iter().map(|t| format!("{} {}", t["key"], t["tolerationSeconds"])).collect::<Vec<_>>()
    };
    assert_eq!(
        keys(&asked.object),
        [r#""node.kubernetes.io/not-ready" 300"#, r#""node.kubernetes.io/unreachable" 300"#]
    );
    let all = pod(json!({"tolerations": [{"operator": "Exists"}]}));
    assert_eq!(keys(&create("DefaultTolerationSeconds", &state(&[]), &all).unwrap().object).len(), 1);
}

#[test]
fn claims_and_volumes_are_held_while_in_use() {
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "x", "namespace": "ns"}});
    let asked = create("StorageObjectInUseProtection", &state(&[]), &claim).unwrap();
    assert_eq!(asked.object.finalizers().collect::<Vec<_>>(), ["kubernetes.io/pvc-protection"]);
    let again = create("StorageObjectInUseProtection", &state(&[]), asked.object.json()).unwrap();
    assert_eq!(again.object.finalizers().count(), 1);
}

#[test]
fn pod_security_follows_the_namespace_labels() {
    let at = |level: &str| state(&[namespace("ns", json!({"pod-security.kubernetes.io/enforce": level}))]);
    let plain = pod(json!({"containers": [container(json!({}))]}));
    assert!(create("PodSecurity", &at("privileged"), &plain).is_ok());
    assert!(create("PodSecurity", &at("baseline"), &plain).is_ok());
    assert_eq!(
        refusal(create("PodSecurity", &at("restricted"), &plain)),
        "pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\": \
         allowPrivilegeEscalation != false (container \"c\" must set securityContext.allowPrivilegeEscalation=false), \
         unrestricted capabilities (container \"c\" must set securityContext.capabilities.drop=[\"ALL\"]), \
         runAsNonRoot != true (pod or container \"c\" must set securityContext.runAsNonRoot=true), \
         seccompProfile (pod or container \"c\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"
    );
    let good = pod(json!({"securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container(json!({"securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}))]}));
    assert!(create("PodSecurity", &at("restricted"), &good).is_ok());
    let bad = pod(json!({"hostNetwork": true, "hostPID": true, "volumes": [{"name": "h", "hostPath": {"path": "/"}}],
        "containers": [container(json!({"ports": [{"containerPort": 1, "hostPort": 80}],
            "securityContext": {"privileged": true, "capabilities": {"add": ["NET_RAW", "SYS_ADMIN"]}}}))]}));
    assert_eq!(
        refusal(create("PodSecurity", &at("baseline"), &bad)),
        "pods \"x\" is forbidden: violates PodSecurity \"baseline:latest\": \
         non-default capabilities (container \"c\" must not include \"NET_RAW\", \"SYS_ADMIN\" in securityContext.capabilities.add), \
         host namespaces (hostNetwork=true, hostPID=true), hostPath volumes (volume \"h\"), \
         hostPort (container \"c\" uses hostPort 80), \
         privileged (container \"c\" must not set securityContext.privileged=true)"
    );
}

#[test]
fn controllers_of_insecure_pods_are_warned_of() {
    let with = state(&[namespace("ns", json!({"pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/enforce-version": "v1.30"}))]);
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "ns"},
        "spec": {"template": {"spec": {"hostIPC": true, "containers": [container(json!({}))]}}}});
    let asked = create("PodSecurity", &with, &deployment).unwrap();
    assert_eq!(asked.warnings, ["would violate PodSecurity \"baseline:v1.30\": host namespaces (hostIPC=true)"]);
}

#[test]
fn a_raised_level_names_the_pods_that_break_it() {
    let mut other = pod(json!({"hostPID": true, "containers": []}));
    other["metadata"]["name"] = json!("y");
    let with = state(&[pod(json!({"hostPID": true, "containers": []})), other]);
    let (old, new) = (namespace("ns", json!({})), namespace("ns", json!({"pod-security.kubernetes.io/enforce": "baseline"})));
    let asked = ask("PodSecurity", &with, Operation::Update, &new, Some(&old)).unwrap();
    assert_eq!(
        asked.warnings,
        [
            "existing pods in namespace \"ns\" violate the new PodSecurity enforce level \"baseline:latest\"",
            "x (and 1 other pod): host namespaces"
        ]
    );
    let wrong = namespace("ns", json!({"pod-security.kubernetes.io/enforce": "foo", "pod-security.kubernetes.io/warn-version": "v1.01"}));
    assert_eq!(
        refusal(create("PodSecurity", &with, &wrong)),
        "Namespace \"ns\" is invalid: [metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"foo\": \
         must be one of privileged, baseline, restricted, metadata.labels[pod-security.kubernetes.io/warn-version]: \
         Invalid value: \"v1.01\": must be \"latest\" or \"v1.x\"]"
    );
}

#[test]
fn what_one_machine_cannot_do_is_refused_by_field() {
    let with = state(&[]);
    let bad = pod(json!({"schedulerName": "mine", "containers": [container(json!({}))], "volumes": [{"name": "v", "nfs": {"server": "s", "path": "/"}}]}));
    let refused = create("LocalSupport", &with, &bad).err().unwrap();
    assert_eq!(refused.code, 422);
    assert_eq!(refused.details.unwrap()["causes"][0]["field"], "spec.volumes[0].nfs");
    let odd = pod(json!({"schedulerName": "mine", "containers": [container(json!({}))]}));
    let asked = create("LocalSupport", &with, &odd).unwrap();
    assert_eq!(asked.warnings, ["spec.schedulerName: has no effect here: there is one scheduler here, and it serves every Pod"]);
    // What stood there before is not talked of again.
    let asked = ask("LocalSupport", &with, Operation::Update, &odd, Some(&odd)).unwrap();
    assert_eq!(asked.warnings, Vec::<String>::new());
}
