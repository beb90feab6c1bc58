//! What was seen here, in the words of the records.

use serde_json::Value as Json;

use crate::history::History;
use crate::live::Live;

/// The recorded address of the Service `kubernetes`.
const API_IP: &str = "10.96.0.1";

/// Replaces names that differ from run to run.
pub fn history(live: &mut Live, namespace: &str, srv: &str, api_ip: &str, results: &mut [(usize, Json)]) -> History {
    let mut history = live.history.clone();
    for (log, line) in &live.open_lines {
        history.logs.entry(log.clone()).or_default().push(line.clone());
    }
    let mut names: Vec<(String, String)> = vec![(srv.to_owned(), "/srv".into()), (api_ip.to_owned(), API_IP.into())];
    names.extend(live.hashes.iter().enumerate().map(|(i, hash)| (hash.clone(), format!("<hash{}>", i + 1))));
    names.extend(
        live.pods.iter().map(|(uid, name)| (uid.clone(), format!("<uid:{}>", name.split('@').next().unwrap_or(name)))),
    );
    names.extend(live.pod_ips.iter().enumerate().map(|(i, ip)| (ip.clone(), format!("<podIP{}>", i + 1))));
    names.extend(live.service_ips.iter().enumerate().map(|(i, ip)| (ip.clone(), format!("<clusterIP{}>", i + 1))));
    if !live.host_ip.is_empty() && !live.host_ip.starts_with("127.") {
        names.push((live.host_ip.clone(), "<hostIP>".into()));
    }
    names.push((namespace.to_owned(), "<ns>".into()));
    // Terminals end their lines with both; the records have been read without.
    names.push(("\r".into(), String::new()));
    // An address may begin another.
    names.sort_by_key(|(from, _)| std::cmp::Reverse(from.len()));
    let clean = |text: &str| {
        let mut text = text.to_owned();
        for (from, to) in &names {
            text = text.replace(from, to);
        }
        used(&durations(&text))
    };
    for change in history.pods.values_mut().flatten() {
        strings(&mut change.status, &clean);
    }
    for (_, answer) in results {
        if let Json::String(text) = &mut answer["answer"] {
            *text = clean(text);
        }
    }
    for event in &mut history.events {
        event.message = clean(&event.message);
    }
    for line in history.logs.values_mut().flatten() {
        line.text = clean(&line.text);
    }
    history
}

fn strings(tree: &mut Json, clean: &impl Fn(&str) -> String) {
    match tree {
        Json::String(text) => *text = clean(text),
        Json::Array(items) => items.iter_mut().for_each(|i| strings(i, clean)),
        Json::Object(map) => map.values_mut().for_each(|i| strings(i, clean)),
        _ => {}
    }
}

/// Whether a text is as it was recorded, where that leaves open what differs from run to run.
pub fn fits(recorded: &str, seen: &str) -> bool {
    // A node without a network has no other address.
    if recorded.contains("<hostIP>") && fits(&recorded.replace("<hostIP>", "127.0.0.1"), seen) {
        return true;
    }
    let mut parts = vec![recorded.to_owned()];
    for open in ["<n>", "<date>", "<time>", "<timestamp>", "<port>", "<short>"] {
        parts = parts.iter().flat_map(|p| p.split(open)).map(str::to_owned).collect();
    }
    let (first, rest) = parts.split_first().expect("one at least");
    let Some(mut left) = seen.strip_prefix(first.as_str()) else { return false };
    for (index, part) in rest.iter().enumerate() {
        let last = index + 1 == rest.len();
        let at = if last {
            left.len().checked_sub(part.len()).filter(|at| left.is_char_boundary(*at))
        } else {
            left.find(part.as_str())
        };
        match at {
            Some(at) if left[at..].starts_with(part.as_str()) => left = &left[at + part.len()..],
            _ => return false,
        }
    }
    left.is_empty()
}

/// How much of the node others use differs from run to run.
fn used(text: &str) -> String {
    let Some((head, tail)) = text.split_once(", used: ") else { return text.to_owned() };
    let rest = tail.split_once(", ").map_or(String::new(), |(_, rest)| format!(", {rest}"));
    format!("{head}, used: <used>{rest}")
}

/// How long a pull took, and the size of what it brought.
fn durations(text: &str) -> String {
    let Some((head, _)) = text.split_once("\" in ").filter(|_| text.starts_with("Successfully pulled")) else {
        return text.to_owned();
    };
    format!("{head}\" in <dur> (<dur> including waiting). Image size: <n> bytes.")
}

/// The same for what was recorded, with `<x*3>` written out.
pub fn recorded(text: &str) -> String {
    let Some((head, rest)) = text.find('<').and_then(|at| text[at..].find('*').map(|_| text.split_at(at))) else {
        return durations(text);
    };
    let repeated = rest[1..].split_once('>').and_then(|(inside, tail)| {
        let (what, count) = inside.split_once('*')?;
        Some((what.repeat(count.parse().ok()?), tail))
    });
    match repeated {
        Some((long, tail)) => format!("{head}{long}{}", recorded(tail)),
        None => format!("{head}<{}", recorded(&rest[1..])),
    }
}
