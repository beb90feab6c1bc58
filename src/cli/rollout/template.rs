//! A pod template as `describe` writes it. Source: k8s.io/kubectl/pkg/describe/describe.go, `DescribePodTemplate`.

use crate::api::Json;

fn text<'j>(tree: &'j Json, pointer: &str) -> &'j str {
    tree.pointer(pointer).and_then(Json::as_str).unwrap_or("")
}

fn list<'j>(tree: &'j Json, pointer: &str) -> &'j [Json] {
    tree.pointer(pointer).and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

fn pairs(map: Option<&Json>, sign: &str) -> Vec<String> {
    let entries = map.and_then(Json::as_object).into_iter().flatten();
    entries.map(|(k, v)| format!("{k}{sign}{}", v.as_str().unwrap_or(""))).collect()
}

/// The template; `cause` becomes an annotation of it.
pub fn describe(template: &Json, cause: &str) -> String {
    let mut out = String::from("Pod Template:\n");
    let labels = pairs(template.pointer("/metadata/labels"), "=");
    let shown = if labels.is_empty() { "<none>".to_owned() } else { labels.join("\n\t") };
    out.push_str(&format!("  Labels:\t{shown}\n"));
    let mut annotations = pairs(template.pointer("/metadata/annotations"), ": ");
    if !cause.is_empty() {
        annotations.push(format!("kubernetes.io/change-cause: {cause}"));
        annotations.sort();
    }
    if !annotations.is_empty() {
        out.push_str(&format!("  Annotations:\t{}\n", annotations.join("\n\t")));
    }
    let account = text(template, "/spec/serviceAccountName");
    if !account.is_empty() {
        out.push_str(&format!("  Service Account:\t{account}\n"));
    }
    for (title, pointer) in [("Init Containers", "/spec/initContainers"), ("Containers", "/spec/containers")] {
        let containers = list(template, pointer);
        if containers.is_empty() && title == "Init Containers" {
            continue;
        }
        out.push_str(&format!("  {title}:\n"));
        containers.iter().for_each(|c| container(&mut out, c));
    }
    volumes(&mut out, list(template, "/spec/volumes"));
    let nodes = pairs(template.pointer("/spec/nodeSelector"), "=");
    out.push_str(&format!("  Node-Selectors:\t{}\n", if nodes.is_empty() { "<none>".into() } else { nodes.join("\n\t") }));
    let tolerations: Vec<String> = list(template, "/spec/tolerations").iter().map(toleration).collect();
    let shown = if tolerations.is_empty() { "<none>".to_owned() } else { tolerations.join("\n\t") };
    out.push_str(&format!("  Tolerations:\t{shown}\n"));
    out
}

fn container(out: &mut String, container: &Json) {
    out.push_str(&format!("   {}:\n    Image:\t{}\n", text(container, "/name"), text(container, "/image")));
    let ports = list(container, "/ports");
    let number = |port: &Json, field: &str| port.get(field).and_then(Json::as_i64).unwrap_or(0);
    let show = |field: &'static str| {
        let all = ports.iter().map(|p| {
            let name = Some(text(p, "/name")).filter(|n| !n.is_empty()).map(|n| format!(" ({n})")).unwrap_or_default();
            format!("{}/{}{name}", number(p, field), text(p, "/protocol"))
        });
        let shown = all.collect::<Vec<_>>().join(", ");
        if shown.is_empty() { "<none>".to_owned() } else { shown }
    };
    let plural = if ports.len() > 1 { "s" } else { "" };
    out.push_str(&format!("    Port{plural}:\t{}\n    Host Port{plural}:\t{}\n", show("containerPort"), show("hostPort")));
    for (title, field) in [("Command", "command"), ("Args", "args")] {
        let words = list(container, &format!("/{field}"));
        if !words.is_empty() {
            out.push_str(&format!("    {title}:\n"));
            for word in words.iter().filter_map(Json::as_str) {
                word.split('\n').for_each(|line| out.push_str(&format!("      {line}\n")));
            }
        }
    }
    for (title, field) in [("Limits", "limits"), ("Requests", "requests")] {
        let amounts = container.pointer(&format!("/resources/{field}")).and_then(Json::as_object);
        if let Some(amounts) = amounts.filter(|a| !a.is_empty()) {
            out.push_str(&format!("    {title}:\n"));
            amounts.iter().for_each(|(k, v)| out.push_str(&format!("      {k}:\t{}\n", v.as_str().unwrap_or(""))));
        }
    }
    environment(out, list(container, "/env"));
    let mounts = list(container, "/volumeMounts");
    if mounts.is_empty() {
        out.push_str("    Mounts:\t<none>\n");
        return;
    }
    out.push_str("    Mounts:\n");
    for mount in mounts {
        let read_only = mount.get("readOnly").and_then(Json::as_bool) == Some(true);
        let mode = if read_only { "ro" } else { "rw" };
        let path = Some(text(mount, "/subPath")).filter(|p| !p.is_empty()).map(|p| format!(",path={p:?}")).unwrap_or_default();
        out.push_str(&format!("      {} from {} ({mode}{path})\n", text(mount, "/mountPath"), text(mount, "/name")));
    }
}

fn environment(out: &mut String, env: &[Json]) {
    if env.is_empty() {
        out.push_str("    Environment:\t<none>\n");
        return;
    }
    out.push_str("    Environment:\n");
    for entry in env {
        let name = text(entry, "/name");
        let from = |kind: &str, word: &str| {
            let key = entry.pointer(&format!("/valueFrom/{kind}"))?;
            let optional = key.get("optional").and_then(Json::as_bool).unwrap_or(false);
            let (k, n) = (text(key, "/key"), text(key, "/name"));
            Some(format!("<set to the key '{k}' in {word} '{n}'>  Optional: {optional}"))
        };
        let field = entry.pointer("/valueFrom/fieldRef").map(|f| format!(" ({}:{})", text(f, "/apiVersion"), text(f, "/fieldPath")));
        let value = from("secretKeyRef", "secret")
            .or_else(|| from("configMapKeyRef", "config map"))
            .or(field)
            .unwrap_or_else(|| text(entry, "/value").to_owned());
        out.push_str(&format!("      {name}:\t{value}\n"));
    }
}

fn volumes(out: &mut String, volumes: &[Json]) {
    if volumes.is_empty() {
        out.push_str("  Volumes:\t<none>\n");
        return;
    }
    out.push_str("  Volumes:\n");
    for volume in volumes {
        let kind = volume.as_object().and_then(|m| m.keys().find(|k| *k != "name")).map_or("", String::as_str);
        out.push_str(&format!("   {}:\n    Type:\t{kind}\n", text(volume, "/name")));
    }
}

fn toleration(toleration: &Json) -> String {
    let (key, value) = (text(toleration, "/key"), text(toleration, "/value"));
    let mut shown = if value.is_empty() { key.to_owned() } else { format!("{key}={value}") };
    let effect = text(toleration, "/effect");
    if !effect.is_empty() {
        shown.push_str(&format!(":{effect}"));
    }
    if text(toleration, "/operator") == "Exists" && value.is_empty() {
        shown.push_str(if key.is_empty() && effect.is_empty() { "op=Exists" } else { " op=Exists" });
    }
    shown
}
