//! Lifecycle hooks run for real: a command in the container, a request, or a while of nothing.
//! Source: pkg/kubelet/lifecycle/handlers.go; the words of the errors are its own.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, HTTPGetAction, LifecycleHandler, Pod, TCPSocketAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::probing::{self, MAX_OUTPUT};
use crate::api::status::quote;
use crate::node::HookCall;
use crate::probes;
use crate::runtime::{Outcome, Runtime, Sandbox};

/// Runs a hook to its end; `Err` is what the status says of a container that could not be started for it.
pub async fn run<R: Runtime>(
    runtime: &R,
    dial: &dyn probes::Dial,
    pod: &Pod,
    sandbox: &Sandbox,
    call: &HookCall,
) -> Result<(), String> {
    let Some((container, handler)) = call.handler(pod) else { return Ok(()) };
    let meta = &pod.metadata;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let of = format!(
        "for Container \"{}\" in Pod \"{}_{}({})\" failed - error:",
        container.name,
        text(&meta.name),
        text(&meta.namespace),
        text(&meta.uid)
    );
    let (container, handler) = (&container, &handler);
    if let Some(exec) = &handler.exec {
        let command = exec.command.clone().unwrap_or_default();
        let shown = command.join(" ");
        let failed = |why: String| format!("Exec lifecycle hook ([{shown}]) {of} {why}");
        return exec_in(runtime, &sandbox.uid, call, command).await.map_err(failed);
    }
    if let Some(get) = &handler.http_get {
        let failed = |why: String| format!("HTTP lifecycle hook ({}) {of} {why}", get.path.clone().unwrap_or_default());
        return http(dial, pod, sandbox, container, get).await.map_err(failed);
    }
    if let Some(sleep) = &handler.sleep {
        tokio::time::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))).await;
        return Ok(());
    }
    Err(format!("Cannot run handler: invalid handler: {}", as_go_shows(handler)))
}

async fn exec_in<R: Runtime>(runtime: &R, uid: &str, call: &HookCall, command: Vec<String>) -> Result<(), String> {
    let line = command.join(" ");
    match probing::exec(runtime, (uid, &call.id), command, None).await {
        Ok(Outcome::Exec { exit_code: 0, .. }) => Ok(()),
        Ok(Outcome::Exec { exit_code, mut output, mut errors, .. }) => {
            output.truncate(MAX_OUTPUT);
            errors.truncate(MAX_OUTPUT);
            let (output, errors) = (String::from_utf8_lossy(&output), String::from_utf8_lossy(&errors));
            Err(format!("command '{line}' exited with {exit_code}: {errors}, message: {}", quote(&output)))
        }
        Ok(_) => Err("the runtime gave no answer, message: \"\"".into()),
        Err(error) => Err(format!("{error}, message: \"\"")),
    }
}

async fn http(
    dial: &dyn probes::Dial,
    pod: &Pod,
    sandbox: &Sandbox,
    container: &Container,
    get: &HTTPGetAction,
) -> Result<(), String> {
    let port = probing::port(container, &get.port)?;
    let is_told = get.host.as_ref().is_some_and(|host| !host.is_empty());
    let own = sandbox.ips.first().filter(|_| !probing::on_host_network(pod)).map(ToString::to_string);
    // What shares the machine's network has no address of its own for a hook to go to.
    let own = match own {
        None if !is_told => return Err("failed to find networking container: the pod has no address of its own".into()),
        own => own.unwrap_or_default(),
    };
    probes::hook(dial, &probing::http_target(get, port, &own, "kube-lifecycle", true)).await
}

/// A handler without anything that a hook can do, as Go prints it.
fn as_go_shows(handler: &LifecycleHandler) -> String {
    let socket = handler.tcp_socket.as_ref().map_or("nil".to_owned(), |socket: &TCPSocketAction| {
        let port = match &socket.port {
            IntOrString::Int(number) => format!("{{0 {number} }}"),
            IntOrString::String(name) => format!("{{1 0 {name}}}"),
        };
        format!("&TCPSocketAction{{Port:{port},Host:{},}}", socket.host.clone().unwrap_or_default())
    });
    format!("&LifecycleHandler{{Exec:nil,HTTPGet:nil,TCPSocket:{socket},Sleep:nil,}}")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::node::HookKind;
    use crate::runtime::SandboxState;
    use crate::runtime::simulated::Simulated;

    #[tokio::test]
    async fn a_request_to_a_pod_on_the_machines_network_needs_a_host() {
        let pod = |host: serde_json::Value| -> Pod {
            let get = json!({"path": "/x", "port": 1, "host": host});
            let container = json!({"name": "c", "lifecycle": {"postStart": {"httpGet": get}}});
            let spec = json!({"hostNetwork": true, "containers": [container]});
            serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "ns", "uid": "u"}, "spec": spec})).expect("a pod")
        };
        let sandbox = Sandbox {
            uid: "u".into(),
            namespace: "ns".into(),
            name: "p".into(),
            id: "s".into(),
            state: SandboxState::Ready,
            attempt: 0,
            created_at: jiff::Timestamp::UNIX_EPOCH,
            ips: vec![std::net::IpAddr::from([127, 0, 0, 1])],
            pid: None,
            containers: Vec::new(),
            annotations: Default::default(),
        };
        let node = Simulated::new(Arc::new(|| jiff::Timestamp::UNIX_EPOCH));
        let call = HookCall { container: "c".into(), id: "a".into(), kind: HookKind::PostStart };
        let of = "HTTP lifecycle hook (/x) for Container \"c\" in Pod \"p_ns(u)\" failed - error:";
        let why = run(&node, &probes::Direct, &pod(json!("")), &sandbox, &call).await.expect_err("nowhere to go");
        assert!(why.starts_with(&format!("{of} failed to find networking container: ")), "{why}");
        let why = run(&node, &probes::Direct, &pod(json!("127.0.0.1")), &sandbox, &call).await.expect_err("refused");
        assert_eq!(why, format!("{of} Get \"http://127.0.0.1:1/x\": dial tcp 127.0.0.1:1: connect: connection refused"));
    }
}
