//! Probes and lifecycle hooks: what a container is asked or told.

use super::super::field::{self, Errors, Path};
use super::super::{names, rules};
use crate::api::Json;
use crate::api::tree::Tree;

/// Signals a container on Linux may be stopped by: 1 to 31 by name, and the real-time ones.
const LINUX_SIGNALS: &[&str] = &[
    "SIGABRT", "SIGALRM", "SIGBUS", "SIGCHLD", "SIGCLD", "SIGCONT", "SIGFPE", "SIGHUP", "SIGILL", "SIGINT", "SIGIO",
    "SIGIOT", "SIGKILL", "SIGPIPE", "SIGPOLL", "SIGPROF", "SIGPWR", "SIGQUIT", "SIGRTMAX", "SIGRTMAX-1", "SIGRTMAX-10",
    "SIGRTMAX-11", "SIGRTMAX-12", "SIGRTMAX-13", "SIGRTMAX-14", "SIGRTMAX-2", "SIGRTMAX-3", "SIGRTMAX-4", "SIGRTMAX-5",
    "SIGRTMAX-6", "SIGRTMAX-7", "SIGRTMAX-8", "SIGRTMAX-9", "SIGRTMIN", "SIGRTMIN+1", "SIGRTMIN+10", "SIGRTMIN+11",
    "SIGRTMIN+12", "SIGRTMIN+13", "SIGRTMIN+14", "SIGRTMIN+15", "SIGRTMIN+2", "SIGRTMIN+3", "SIGRTMIN+4", "SIGRTMIN+5",
    "SIGRTMIN+6", "SIGRTMIN+7", "SIGRTMIN+8", "SIGRTMIN+9", "SIGSEGV", "SIGSTKFLT", "SIGSTOP", "SIGSYS", "SIGTERM",
    "SIGTRAP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGUSR1", "SIGUSR2", "SIGVTALRM", "SIGWINCH", "SIGXCPU",
    "SIGXFSZ",
];
const WINDOWS_SIGNALS: &[&str] = &["SIGKILL", "SIGTERM"];

/// What a container that runs on has: lifecycle and probes.
pub(super) fn of_running(container: &Json, grace: Option<i64>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let lifecycle = container.field("lifecycle");
    for name in ["postStart", "preStop"] {
        if lifecycle.has(name) {
            let kinds = ["exec", "httpGet", "tcpSocket", "sleep"];
            errors.extend(handler(lifecycle.field(name), &kinds, grace, &path.child("lifecycle").child(name)));
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if container.has(name) {
            errors.extend(probe(name, container.field(name), &path.child(name)));
        }
    }
    errors
}

fn probe(name: &str, probe: &Json, path: &Path) -> Errors {
    let mut errors = handler(probe, &["exec", "httpGet", "tcpSocket", "grpc"], None, path);
    for key in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        errors.extend(rules::not_negative_at(probe, path, key));
    }
    let grace = probe.opt_int("terminationGracePeriodSeconds");
    let at = path.child("terminationGracePeriodSeconds");
    if let Some(grace) = grace.filter(|g| *g <= 0) {
        errors.push(field::invalid(&at, grace, "must be greater than 0"));
    }
    if name == "readinessProbe" {
        if let Some(grace) = grace {
            errors.push(field::invalid(&at, grace, "must not be set for readinessProbes"));
        }
    } else if probe.int("successThreshold") != 1 {
        errors.push(field::invalid(&path.child("successThreshold"), probe.int("successThreshold"), "must be 1"));
    }
    errors
}

/// One of `kinds`, and no more.
fn handler(handler: &Json, kinds: &[&str], grace: Option<i64>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut found = false;
    for kind in kinds.iter().filter(|k| handler.has(k)) {
        let at = path.child(kind);
        if found {
            errors.push(field::forbidden(&at, "may not specify more than 1 handler type"));
            continue;
        }
        found = true;
        let action = handler.field(kind);
        errors.extend(match *kind {
            "exec" if action.list("command").is_empty() => vec![field::required(&at.child("command"), "")],
            "httpGet" => http_get(action, &at),
            "tcpSocket" => port(action.field("port"), &at.child("port")),
            "grpc" => port(&Json::from(action.int("port")), &at.child("port")),
            "sleep" => sleep(action, grace, &at),
            _ => Errors::new(),
        });
    }
    if !found {
        errors.push(field::required(path, "must specify a handler type"));
    }
    errors
}

fn http_get(get: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if get.text("path").is_empty() {
        errors.push(field::required(&path.child("path"), ""));
    }
    errors.extend(port(get.field("port"), &path.child("port")));
    let scheme = get.text("scheme");
    if !["HTTP", "HTTPS"].contains(&scheme) {
        errors.push(field::not_supported(&path.child("scheme"), scheme, &["HTTP", "HTTPS"]));
    }
    for header in get.list("httpHeaders") {
        let name = header.text("name");
        errors.extend(rules::each(&path.child("httpHeaders"), name, names::http_header_name(name)));
    }
    errors
}

/// A number or a name of a port.
fn port(port: &Json, path: &Path) -> Errors {
    match port.as_str() {
        Some(name) => rules::each(path, name, names::port_name(name)),
        None => {
            let number = port.as_i64().unwrap_or(0);
            names::port_number(number).iter().map(|m| field::invalid(path, number, m)).collect()
        }
    }
}

fn sleep(action: &Json, grace: Option<i64>, path: &Path) -> Errors {
    let (seconds, Some(grace)) = (action.int("seconds"), grace) else { return Errors::new() };
    if (0..=grace).contains(&seconds) {
        return Errors::new();
    }
    let detail = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
    vec![field::invalid(path, seconds, &detail)]
}

/// `lifecycle.stopSignal` needs to know the operating system.
pub(super) fn stop_signals(spec: &Json, path: &Path) -> Errors {
    let os = spec.field("os").text("name");
    let mut errors = Errors::new();
    for (container, path) in super::all_containers(spec, path) {
        let Some(signal) = container.field("lifecycle").opt_text("stopSignal") else { continue };
        let at = path.child("lifecycle").child("stopSignal");
        let supported = match os {
            "" => {
                errors.push(field::forbidden(&at, "may not be set for containers with empty `spec.os.name`"));
                continue;
            }
            "windows" => WINDOWS_SIGNALS,
            _ => LINUX_SIGNALS,
        };
        if !supported.contains(&signal) {
            errors.push(field::not_supported(&at, signal, supported));
        }
    }
    errors
}
