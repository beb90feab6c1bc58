//! Lifecycle hooks run for real: a command in the container, a request, or a while of nothing.
//! Source: pkg/kubelet/lifecycle/handlers.go; the words of the errors are its own.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, HTTPGetAction, LifecycleHandler, Pod, TCPSocketAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::probing::{self, MAX_OUTPUT};
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
            Err(format!("command '{line}' exited with {exit_code}: {errors}, message: {output:?}"))
        }
        Ok(_) => Err(format!("the runtime gave no answer, message: {:?}", "")),
        Err(error) => Err(format!("{error}, message: {:?}", "")),
    }
}

async fn http(
    dial: &dyn probes::Dial,
    pod: &Pod,
    sandbox: &Sandbox,
    container: &Container,
    get: &HTTPGetAction,
) -> Result<(), String> {
    let port = hook_port(container, &get.port)?;
    let own = probing::own_address(pod, sandbox);
    probes::hook(dial, &probing::http_target(get, port, &own, "kube-lifecycle", true)).await
}

/// A port that is not given is the scheme's usual one, as handlers.go has it.
fn hook_port(container: &Container, port: &IntOrString) -> Result<u16, String> {
    match port {
        IntOrString::String(name) if name.is_empty() => Ok(80),
        IntOrString::Int(0) => Ok(80),
        other => probing::port(container, other),
    }
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
