//! Probes asked for real: over the network, or by a command in the container.

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Pod, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::network::inside::Inside;
use crate::node::probe::{Answer, Due};
use crate::probes;
use crate::store::failpoint::{self, Point};
use crate::runtime::{Action, Outcome, Runtime, RuntimeError, RuntimeErrorKind, Sandbox};

/// Output of a command that is kept (pkg/probe/exec: maxReadLength).
pub const MAX_OUTPUT: usize = 10 * 1024;

/// Connections from inside a pod's network, for an ordinary user's pods. Who names the loopback as the host means the machine's:
/// it is the node that asks.
pub struct InsidePod(pub Inside);

impl probes::Dial for InsidePod {
    fn connect(&self, address: std::net::SocketAddr) -> probes::Connecting<'_> {
        if address.ip().is_loopback() { probes::Direct.connect(address) } else { Box::pin(self.0.connect(address)) }
    }
}

/// Where a pod is asked that is not told another host: in its own network, or at the node's address.
fn own_address(pod: &Pod, sandbox: &Sandbox) -> String {
    if !on_host_network(pod) {
        return sandbox.ips.first().map(ToString::to_string).unwrap_or_default();
    }
    let told = pod.status.as_ref().and_then(|s| s.host_ip.clone());
    told.unwrap_or_else(|| IpAddr::from([127, 0, 0, 1]).to_string())
}

pub fn on_host_network(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|s| s.host_network) == Some(true)
}

/// Whom an httpGet asks; `agent`: what asks, `hook`: whether by a hook's rules.
pub fn http_target(get: &HTTPGetAction, port: u16, own: &str, agent: &str, hook: bool) -> probes::HttpTarget {
    probes::HttpTarget {
        https: get.scheme.as_deref() == Some("HTTPS"),
        host: get.host.clone().filter(|h| !h.is_empty()).unwrap_or_else(|| own.to_owned()),
        port,
        path: get.path.clone().unwrap_or_default(),
        headers: get.http_headers.iter().flatten().map(|h| (h.name.clone(), h.value.clone())).collect(),
        user_agent: format!("{agent}/{}", probes::KUBELET_VERSION),
        hook,
    }
}

/// Runs a command in a container to its end.
pub async fn exec<R: Runtime>(
    runtime: &R,
    (pod_uid, id): (&str, &str),
    command: Vec<String>,
    timeout: Option<Duration>,
) -> Result<Outcome, RuntimeError> {
    let action = Action::ExecSync { id: id.to_owned(), pod_uid: pod_uid.to_owned(), command, timeout };
    failpoint::reach(Point::Exec);
    let answer = runtime.execute(&action).await;
    failpoint::reach(Point::Executed);
    answer
}

/// Asks one probe.
pub async fn ask<R: Runtime>(runtime: &R, dial: &dyn probes::Dial, pod: &Pod, sandbox: &Sandbox, due: &Due) -> Answer {
    let Some(container) = container(pod, &due.container) else { return Answer::Error("no such container".into()) };
    let Some(probe) = due.kind.of(container) else { return Answer::Error("no such probe".into()) };
    let timeout = Duration::from_secs(u64::try_from(probe.timeout_seconds.unwrap_or(1).max(1)).unwrap_or(1));
    network_or_command(runtime, dial, &sandbox.uid, container, probe, due, &own_address(pod, sandbox), timeout).await
}

fn container<'a>(pod: &'a Pod, name: &str) -> Option<&'a Container> {
    let spec = pod.spec.as_ref()?;
    spec.containers.iter().chain(spec.init_containers.iter().flatten()).find(|c| c.name == name)
}

#[expect(clippy::too_many_arguments, reason = "one probe and everything that it may need")]
async fn network_or_command<R: Runtime>(
    runtime: &R,
    dial: &dyn probes::Dial,
    uid: &str,
    container: &Container,
    probe: &Probe,
    due: &Due,
    own: &str,
    timeout: Duration,
) -> Answer {
    if let Some(exec) = &probe.exec {
        return command(runtime, uid, due, exec.command.clone().unwrap_or_default(), timeout).await;
    }
    if let Some(get) = &probe.http_get {
        let port = match port(container, &get.port) {
            Ok(port) => port,
            Err(why) => return Answer::Error(why),
        };
        let target = http_target(get, port, own, "kube-probe", false);
        return translate(probes::http(dial, &target, timeout).await);
    }
    if let Some(socket) = &probe.tcp_socket {
        let port = match port(container, &socket.port) {
            Ok(port) => port,
            Err(why) => return Answer::Error(why),
        };
        let host = socket.host.clone().filter(|h| !h.is_empty()).unwrap_or_else(|| own.to_owned());
        return translate(probes::tcp(dial, &host, port, timeout).await);
    }
    if let Some(grpc) = &probe.grpc {
        let service = grpc.service.clone().unwrap_or_default();
        let port = u16::try_from(grpc.port).unwrap_or(0);
        return translate(probes::grpc(dial, own, port, &service, timeout).await);
    }
    Answer::Error("missing probe handler".into())
}

async fn command<R: Runtime>(runtime: &R, uid: &str, due: &Due, command: Vec<String>, timeout: Duration) -> Answer {
    let line = command.join(" ");
    match exec(runtime, (uid, &due.id), command, Some(timeout)).await {
        Ok(Outcome::Exec { timed_out: true, .. }) => {
            Answer::Failure(format!("command timed out: \"{line}\" timed out after {}s", timeout.as_secs()))
        }
        Ok(Outcome::Exec { exit_code: 0, .. }) => Answer::Success,
        Ok(Outcome::Exec { mut output, .. }) => {
            output.truncate(MAX_OUTPUT);
            Answer::Failure(String::from_utf8_lossy(&output).into_owned())
        }
        Ok(_) => Answer::Error("the runtime gave no answer".into()),
        Err(error) if error.kind == RuntimeErrorKind::NotFound => Answer::Gone,
        Err(error) => Answer::Error(error.message),
    }
}

/// A port by number or by the name that the container gives it.
/// Source: pkg/probe/util.go: ResolveContainerPort.
pub fn port(container: &Container, port: &IntOrString) -> Result<u16, String> {
    let name = match port {
        IntOrString::Int(number) => {
            return u16::try_from(*number)
                .ok()
                .filter(|n| *n > 0)
                .ok_or_else(|| format!("invalid port number: {number}"));
        }
        IntOrString::String(name) => name,
    };
    let named = container.ports.iter().flatten().find(|p| p.name.as_deref() == Some(name));
    match named {
        Some(found) => {
            u16::try_from(found.container_port).map_err(|_| format!("invalid port number: {}", found.container_port))
        }
        None => name.parse::<u16>().map_err(|_| format!("strconv.Atoi: parsing \"{name}\": invalid syntax")),
    }
}

fn translate(answer: probes::Answer) -> Answer {
    match answer {
        probes::Answer::Success => Answer::Success,
        probes::Answer::Warning(text) => Answer::Warning(text),
        probes::Answer::Failure(text) => Answer::Failure(text),
        probes::Answer::Error(text) => Answer::Error(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probes::Dial;

    #[tokio::test]
    async fn the_loopback_is_the_machines_for_an_ordinary_users_pods_too() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
        // Nothing can be entered through it.
        let inside = InsidePod(Inside::new(0, "/nowhere".into()));
        let address = listener.local_addr().expect("an address");
        let (connected, accepted) = tokio::join!(inside.connect(address), listener.accept());
        assert_eq!(connected.expect("connected").local_addr().expect("an address"), accepted.expect("accepted").1);
        assert!(inside.connect("10.0.0.1:80".parse().expect("an address")).await.is_err());
    }
}
