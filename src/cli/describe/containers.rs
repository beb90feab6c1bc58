//! Containers of a pod or a template. Source: k8s.io/kubectl/pkg/describe/describe.go (`describeContainers`).

use super::document::{Document, flag, or_none, plain, quantity};
use super::environment::{environment, sources};
use crate::api::shown::host_port;
use crate::api::status::quote;
use crate::api::tree::Tree;
use crate::api::Json;
use crate::api::go;
use crate::cli::print::gosort;

/// The containers under a title. `pod`: whose they are, so that fields of it can be looked up; a template
/// has neither pod nor statuses, and stands a little deeper.
pub fn containers(doc: &mut Document, title: &str, specs: &[Json], statuses: &[Json], pod: Option<&Json>) {
    let (space, indent) = if pod.is_some() { ("", "") } else { ("  ", " ") };
    let none = if specs.is_empty() { " <none>" } else { "" };
    doc.line(0, &format!("{space}{title}:{none}"));
    for spec in specs {
        let status = statuses.iter().rfind(|s| s.text("name") == spec.text("name"));
        doc.line(1, &format!("{indent}{}:", spec.text("name")));
        basics(doc, spec, status);
        for (title, field) in [("Command", "command"), ("Args", "args")] {
            words(doc, title, &spec.texts(field));
        }
        if let Some(status) = status {
            states(doc, status);
        }
        resources(doc, 2, spec.field("resources"));
        for (title, field) in
            [("Liveness", "livenessProbe"), ("Readiness", "readinessProbe"), ("Startup", "startupProbe")]
        {
            if spec.has(field) {
                doc.field(2, title, probe(spec.field(field)));
            }
        }
        sources(doc, spec.list("envFrom"));
        environment(doc, spec, pod);
        mounts(doc, spec);
    }
}

fn basics(doc: &mut Document, spec: &Json, status: Option<&Json>) {
    if let Some(status) = status {
        doc.field(2, "Container ID", status.text("containerID"));
    }
    doc.field(2, "Image", spec.text("image"));
    if let Some(status) = status {
        doc.field(2, "Image ID", status.text("imageID"));
    }
    for (title, field) in [("Port", "containerPort"), ("Host Port", "hostPort")] {
        let show = |port: &Json| match port.text("name") {
            "" => format!("{}/{}", port.int(field), port.text("protocol")),
            name => format!("{}/{} ({name})", port.int(field), port.text("protocol")),
        };
        let all = spec.list("ports").iter().map(show).collect::<Vec<_>>().join(", ");
        let plural = if all.contains(',') { "s" } else { "" };
        doc.field(2, &format!("{title}{plural}"), or_none(&all));
    }
    let seccomp = spec.field("securityContext").field("seccompProfile");
    if !seccomp.is_null() {
        doc.field(2, "SeccompProfile", seccomp.text("type"));
        if seccomp.text("type") == "Localhost" {
            doc.field(3, "LocalhostProfile", seccomp.text("localhostProfile"));
        }
    }
}

fn words(doc: &mut Document, title: &str, words: &[&str]) {
    if words.is_empty() {
        return;
    }
    doc.line(2, &format!("{title}:"));
    words.iter().flat_map(|word| word.split('\n')).for_each(|line| doc.line(3, line));
}

fn states(doc: &mut Document, status: &Json) {
    state(doc, "State", status.field("state"));
    if status.field("lastState").has("terminated") {
        state(doc, "Last State", status.field("lastState"));
    }
    doc.field(2, "Ready", flag(&Json::Bool(status.flag("ready"))));
    doc.field(2, "Restart Count", status.int("restartCount"));
}

fn state(doc: &mut Document, title: &str, state: &Json) {
    if state.has("running") {
        doc.field(2, title, "Running");
        return doc.field(3, "Started", doc.date(state.field("running").text("startedAt")));
    }
    if state.has("waiting") || !state.has("terminated") {
        doc.field(2, title, "Waiting");
        return doc.some_field(3, "Reason", state.field("waiting").text("reason"));
    }
    let end = state.field("terminated");
    doc.field(2, title, "Terminated");
    doc.some_field(3, "Reason", end.text("reason"));
    doc.some_field(3, "Message", end.text("message"));
    doc.field(3, "Exit Code", end.int("exitCode"));
    if end.int("signal") > 0 {
        doc.field(3, "Signal", end.int("signal"));
    }
    doc.field(3, "Started", doc.date(end.text("startedAt")));
    doc.field(3, "Finished", doc.date(end.text("finishedAt")));
}

/// Limits and requests.
pub fn resources(doc: &mut Document, level: usize, resources: &Json) {
    for (title, field) in [("Limits", "limits"), ("Requests", "requests")] {
        let amounts = resources.entries(field);
        if !amounts.is_empty() {
            doc.line(level, &format!("{title}:"));
        }
        for (name, amount) in amounts {
            doc.field(level + 1, name, quantity(amount));
        }
    }
}

/// `http-get http://:80/ delay=0s timeout=1s period=10s #success=1 #failure=3`.
fn probe(probe: &Json) -> String {
    let numbers = format!(
        "delay={}s timeout={}s period={}s #success={} #failure={}",
        probe.int("initialDelaySeconds"),
        probe.int("timeoutSeconds"),
        probe.int("periodSeconds"),
        probe.int("successThreshold"),
        probe.int("failureThreshold")
    );
    if probe.has("exec") {
        let words = Json::from(probe.field("exec").list("command"));
        return format!("exec {} {numbers}", go::display(&words));
    }
    let (http, tcp, grpc) = (probe.field("httpGet"), probe.field("tcpSocket"), probe.field("grpc"));
    if !http.is_null() {
        return format!("http-get {} {numbers}", url(http));
    }
    if !tcp.is_null() {
        return format!("tcp-socket {}:{} {numbers}", tcp.text("host"), plain(tcp.field("port")));
    }
    if !grpc.is_null() {
        return format!("grpc <pod>:{} {} {numbers}", grpc.int("port"), grpc.text("service"));
    }
    format!("unknown {numbers}")
}

/// As `net/url` writes it.
fn url(get: &Json) -> String {
    let port = plain(get.field("port"));
    let host = if port.is_empty() { get.text("host").to_owned() } else { host_port(get.text("host"), port) };
    let mut url = match get.text("scheme") {
        "" => format!("//{host}"),
        scheme => format!("{}://{host}", scheme.to_lowercase()),
    };
    let path = get.text("path");
    if !path.is_empty() && !path.starts_with('/') && !host.is_empty() {
        url.push('/');
    }
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => url.push(byte.into()),
            b'-' | b'_' | b'.' | b'~' | b'$' | b'&' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'@' => url.push(byte.into()),
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }
    url
}

fn mounts(doc: &mut Document, spec: &Json) {
    let mut mounts: Vec<&Json> = spec.list("volumeMounts").iter().collect();
    let none = if mounts.is_empty() { "\t<none>" } else { "" };
    doc.line(2, &format!("Mounts:{none}"));
    gosort::sort(&mut mounts, |a, b| a.text("mountPath") < b.text("mountPath"));
    for mount in mounts {
        let mut flags = if mount.flag("readOnly") { "ro".to_owned() } else { "rw".to_owned() };
        if !mount.text("subPath").is_empty() {
            flags.push_str(&format!(",path={}", quote(mount.text("subPath"))));
        }
        doc.line(3, &format!("{} from {} ({flags})", mount.text("mountPath"), mount.text("name")));
    }
    let mut devices: Vec<&Json> = spec.list("volumeDevices").iter().collect();
    if devices.is_empty() {
        return;
    }
    doc.line(2, &format!("Devices:{none}"));
    gosort::sort(&mut devices, |a, b| a.text("devicePath") < b.text("devicePath"));
    for device in devices {
        doc.line(3, &format!("{} from {}", device.text("devicePath"), device.text("name")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn probes_are_written_on_one_line() {
        let numbers = "delay=0s timeout=1s period=10s #success=1 #failure=3";
        let with = |mut handler: Json| {
            for (field, value) in
                [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
            {
                handler[field] = value.into();
            }
            probe(&handler)
        };
        let get = json!({"path": "/a b?c", "port": "web", "scheme": "HTTPS", "host": "::1"});
        assert_eq!(with(json!({"httpGet": get})), format!("http-get https://[::1]:web/a%20b%3Fc {numbers}"));
        assert_eq!(with(json!({"exec": {"command": ["cat", "x"]}})), format!("exec [cat x] {numbers}"));
        assert_eq!(with(json!({"tcpSocket": {"port": 80}})), format!("tcp-socket :80 {numbers}"));
        assert_eq!(with(json!({"grpc": {"port": 9, "service": "s"}})), format!("grpc <pod>:9 s {numbers}"));
    }
}
