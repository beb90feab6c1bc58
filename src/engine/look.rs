//! What is, for who only looks: pods with the states that the runtime shows now. Nothing is written or done.

use k8s_openapi::api::core::v1::Pod;

use super::clock::Clock;
use crate::api::{GroupResource, Json, Key, Object};
use crate::node::{self, Context, NodeConfig, PodMemory};
use crate::runtime::{POD_ANNOTATION, Runtime, RuntimeError, Sandbox};
use crate::state::State;

fn pods() -> GroupResource {
    GroupResource::new("", "pods")
}

/// Whether there is anything to look at: a pod that was given to a node and has not ended.
pub fn has_pods(state: &State) -> bool {
    state.all(&pods()).any(|pod| is_placed(pod))
}

fn is_placed(pod: &Object) -> bool {
    let ended = matches!(pod.str_at("/status/phase"), Some("Succeeded" | "Failed"));
    !ended && pod.str_at("/spec/nodeName").is_some_and(|node| !node.is_empty())
}

/// The state with the status of each pod as a node agent that begins now would see it.
pub async fn look<R: Runtime>(
    mut state: State,
    runtime: &R,
    clock: &Clock,
    config: &NodeConfig,
) -> Result<State, RuntimeError> {
    let sandboxes = runtime.observe().await?;
    let machine = runtime.machine().await?;
    let placed: Vec<_> = state.all(&pods()).filter(|pod| is_placed(pod)).cloned().collect();
    for object in placed {
        let sandbox = sandboxes.iter().filter(|s| s.uid == object.uid()).max_by_key(|s| s.attempt);
        let node = object.str_at("/spec/nodeName").unwrap_or_default();
        if sandbox.is_none() && node != config.node_name {
            continue;
        }
        let Ok(pod) = object.typed::<Pod>() else { continue };
        let config = NodeConfig { node_name: node.to_owned(), ..config.clone() };
        let context = Context {
            state: &state,
            machine: &machine,
            config: &config,
            now: clock(),
            addresses: sandbox.map_or(&[], |s| s.ips.as_slice()),
            tokens: &node::Tokens::default(),
            refusal: None,
        };
        let decision = node::sync_pod(&pod, false, sandbox, &mut PodMemory::default(), &context);
        let mut tree = object.json().clone();
        tree["status"] = serde_json::to_value(&decision.status).unwrap_or_default();
        state.load(Key::new(pods(), object.namespace(), object.name()), Object::new(tree));
    }
    Ok(state)
}

/// The Pod object that a sandbox was made for, if it still tells.
pub fn pod_of(sandbox: &Sandbox) -> Option<Object> {
    let tree: Json = serde_json::from_str(sandbox.annotations.get(POD_ANNOTATION)?).ok()?;
    Some(Object::new(tree)).filter(|pod| pod.uid() == sandbox.uid)
}

/// Whether a pod of the runtime is no pod that the store has or had: it was made under a state that is lost.
/// `has_been_at`: whether the store has been at a revision.
pub fn is_unknown(sandbox: &Sandbox, state: &State, has_been_at: impl Fn(u64) -> bool) -> bool {
    let made_at = pod_of(sandbox).and_then(|pod| pod.resource_version().parse().ok());
    state.with_uid(&sandbox.uid).is_none() && !made_at.is_some_and(has_been_at)
}

/// What a user is told of a pod that no store knows.
pub fn unknown_text(sandbox: &Sandbox) -> String {
    let id: String = sandbox.id.chars().take(12).collect();
    let (namespace, name) = (&sandbox.namespace, &sandbox.name);
    format!(
        "Podman has the pod {namespace}/{name} ({id}), which this store does not know: it is left alone; \
         `podman pod rm -f {id}` removes it"
    )
}
