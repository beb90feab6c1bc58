//! Runs what a kube-apiserver was asked against this server and compares the answers.
//!
//! `tests/data/oracle/*.jsonl.gz` holds the recorded cases. `WL_ORACLE=<group, or start of an id>`
//! runs those alone and prints how each answer differs; `WL_ORACLE_FAILING=1` lists the ids that fail.
#![cfg(feature = "internals")]

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use flate2::read::GzDecoder;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use wl::api::decode::json as written_json;
use wl::apiserver::{self, Server};
use wl::registry::Settings;
use wl::store::Store;

/// The least share of each group that must agree: in the codes, in full. Raised as work goes on.
const FLOORS: &[(&str, f64, f64)] = &[
    ("defaults", 100.0, 100.0),
    ("validation", 100.0, 100.0),
    ("updates", 99.7, 99.7),
    ("patches", 100.0, 100.0),
    ("apply", 100.0, 100.0),
    ("reading", 100.0, 100.0),
];

/// How many cases run side by side.
const SIDE_BY_SIDE: usize = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_answers_of_a_kube_apiserver_agree() {
    let only = std::env::var("WL_ORACLE").ok();
    let list_failing = std::env::var("WL_ORACLE_FAILING").is_ok();
    let store = Store::in_memory(Settings { admission: vec!["NamespaceLifecycle".into()], ..Settings::default() });
    store.bootstrap().await.expect("the first objects are made");
    let server = Server::new(store.clone());
    let permits = Arc::new(Semaphore::new(SIDE_BY_SIDE));
    let mut running = JoinSet::new();
    for (group, _, _) in FLOORS {
        for case in cases(group) {
            let id = case["id"].as_str().unwrap_or("").to_owned();
            let compacts = case["steps"].as_array().unwrap().iter().any(|s| s["do"] == "compact");
            let chosen = only.as_deref().is_none_or(|only| only == *group || id.starts_with(only));
            if !chosen || compacts {
                continue;
            }
            let (server, permits, group) = (server.clone(), permits.clone(), *group);
            running.spawn(async move {
                let _permit = permits.acquire().await;
                (group, id, run(&server, &case).await)
            });
        }
    }
    let mut results: BTreeMap<&str, Vec<(String, Verdict)>> = BTreeMap::new();
    while let Some(done) = running.join_next().await {
        let (group, id, verdict) = done.expect("a case does not panic");
        results.entry(group).or_default().push((id, verdict));
    }
    let mut fallen = Vec::new();
    for (group, code_floor, full_floor) in FLOORS {
        let Some(cases) = results.get_mut(group) else { continue };
        cases.sort_by(|a, b| a.0.cmp(&b.0));
        let share = |agrees: fn(&Verdict) -> bool| {
            let count = cases.iter().filter(|(_, v)| agrees(v)).count();
            (count, 100.0 * count as f64 / cases.len() as f64)
        };
        let (codes, code_share) = share(|v| v.codes_agree);
        let (full, full_share) = share(|v| v.differences.is_empty());
        println!(
            "{group:11} {:4} cases  code {codes:4} {code_share:6.2} %  full {full:4} {full_share:6.2} %",
            cases.len()
        );
        if only.is_some() || list_failing {
            for (id, verdict) in cases.iter().filter(|(_, v)| !v.differences.is_empty()) {
                println!("  {} {id}", if verdict.codes_agree { "text" } else { "CODE" });
                if only.is_some() {
                    verdict.differences.iter().for_each(|d| println!("      {d}"));
                }
            }
        }
        if only.is_none() && (code_share < *code_floor || full_share < *full_floor) {
            fallen.push(format!(
                "{group}: code {code_share:.2} (floor {code_floor}), full {full_share:.2} (floor {full_floor})"
            ));
        }
    }
    assert!(fallen.is_empty(), "shares fell: {}", fallen.join("; "));
}

struct Verdict {
    codes_agree: bool,
    differences: Vec<String>,
}

fn cases(group: &str) -> Vec<Value> {
    let path = format!("{}/tests/data/oracle/{group}.jsonl.gz", env!("CARGO_MANIFEST_DIR"));
    let file = std::fs::File::open(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).expect("the recording unpacks");
    text.lines()
        .map(|line| {
            let mut case: Value = serde_json::from_str(line).expect("a case is JSON");
            let written = written_json::read(line.as_bytes()).expect("a case is JSON");
            let written_json::Value::List(steps) = written.get("steps").expect("a case has steps") else { return case };
            for (index, step) in steps.iter().enumerate() {
                if let Some(body @ (written_json::Value::Object(_) | written_json::Value::List(_))) = step.get("body") {
                    case["steps"][index]["written"] = written_as_recorded(body).into();
                }
            }
            case
        })
        .collect()
}

/// JSON as the recorder wrote it: members in order, numbers as they were spelled, blanks after `,` and `:`.
fn written_as_recorded(value: &written_json::Value) -> String {
    match value {
        written_json::Value::Object(members) => {
            let members =
                members.iter().map(|(k, v)| format!("{}: {}", Value::from(k.as_str()), written_as_recorded(v)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        written_json::Value::List(items) => {
            format!("[{}]", items.iter().map(written_as_recorded).collect::<Vec<_>>().join(", "))
        }
        written_json::Value::Number(text) => text.to_string(),
        written_json::Value::String(text) => Value::from(text.as_str()).to_string(),
        written_json::Value::Bool(flag) => flag.to_string(),
        written_json::Value::Null => "null".into(),
    }
}

async fn run(server: &Server, case: &Value) -> Verdict {
    let mut verdict = Verdict { codes_agree: true, differences: Vec::new() };
    if let Some(name) = case["namespace"].as_str() {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let step = json!({"method": "POST", "path": "/api/v1/namespaces", "body": namespace});
        let answer = send(server, &step, &[]).await;
        if answer.code != 201 {
            verdict.differences.push(format!("the namespace was not made: {}", answer.text));
        }
    }
    let mut answers: Vec<Value> = Vec::new();
    for (index, step) in case["steps"].as_array().unwrap().iter().enumerate() {
        let answer = send(server, step, &answers).await;
        answers.push(answer.body.clone());
        let expected = &step["expect"];
        if expected["code"].as_u64() != Some(u64::from(answer.code)) {
            verdict.codes_agree = false;
        }
        let mut found = Vec::new();
        compare_answer(expected, &answer, &mut found);
        let what =
            format!("{} {} {}", step["do"].as_str().unwrap_or(""), step["method"].as_str().unwrap_or(""), step["path"]);
        verdict.differences.extend(found.into_iter().map(|d| format!("[{index}] {what}: {d}")));
    }
    verdict
}

struct Answer {
    code: u16,
    media: String,
    headers: BTreeMap<String, String>,
    warnings: Vec<String>,
    body: Value,
    text: String,
    events: Vec<Value>,
}

async fn send(server: &Server, step: &Value, answers: &[Value]) -> Answer {
    let (near, far) = tokio::io::duplex(1 << 20);
    let serving = tokio::spawn(apiserver::serve(server.clone(), far));
    let (mut sender, connection) = http1::handshake(TokioIo::new(near)).await.expect("a connection");
    let connecting = tokio::spawn(connection);
    let request = request(step, answers);
    let response = sender.send_request(request).await.expect("an answer");
    let (head, body) = response.into_parts();
    let bytes = body.collect().await.expect("a body").to_bytes();
    drop(sender);
    connecting.abort();
    serving.abort();
    let header = |name: &str| head.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let media = header("content-type");
    let body = if media.starts_with("application/yaml") {
        serde_yaml::from_str(&text).unwrap_or(Value::Null)
    } else {
        serde_json::from_str(&text).unwrap_or(Value::Null)
    };
    let warnings = head.headers.get_all("warning").iter().map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
    Answer {
        code: head.status.as_u16(),
        media,
        warnings: warnings.collect(),
        headers: ["retry-after"].iter().map(|name| ((*name).to_owned(), header(name))).collect(),
        events: text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect(),
        body,
        text,
    }
}

fn request(step: &Value, answers: &[Value]) -> hyper::Request<Full<Bytes>> {
    let mut path = refer(step["path"].as_str().unwrap_or(""), answers);
    if let Some(query) = step["query"].as_object() {
        let pairs = query
            .iter()
            .map(|(name, value)| format!("{}={}", encode(name), encode(&refer(value.as_str().unwrap_or(""), answers))));
        path = format!("{path}?{}", pairs.collect::<Vec<_>>().join("&"));
    }
    let method = step["method"].as_str().unwrap_or("GET");
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    headers.insert("accept".into(), "application/json".into());
    headers.insert("user-agent".into(), "recorder".into());
    let body = match &step["body"] {
        Value::Null if step.get("body").is_none() => None,
        Value::String(text) => Some(repeat(&refer(text, answers))),
        tree => match step["written"].as_str() {
            Some(text) if !text.contains("${") => Some(repeat(text)),
            _ => Some(repeat(&serde_json::to_string(&refer_tree(tree, answers)).unwrap())),
        },
    };
    if body.is_some() {
        headers.insert("content-type".into(), "application/json".into());
    }
    for (name, value) in step["headers"].as_object().into_iter().flatten() {
        headers.insert(name.to_lowercase(), value.as_str().unwrap_or("").to_owned());
    }
    let mut request = hyper::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.body(Full::new(Bytes::from(body.unwrap_or_default()))).expect("a request")
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(b).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// `${N.a.b}` by what the N-th answer holds.
fn refer(text: &str, answers: &[Value]) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let Some(length) = rest[start..].find('}') else { break };
        out.push_str(&rest[..start]);
        match looked_up(&rest[start + 2..start + length], answers) {
            Some(Value::String(text)) => out.push_str(&text),
            Some(other) => out.push_str(&other.to_string()),
            None => {}
        }
        rest = &rest[start + length + 1..];
    }
    out.push_str(rest);
    out
}

fn looked_up(path: &str, answers: &[Value]) -> Option<Value> {
    let mut parts = path.split('.');
    let mut value = answers.get(parts.next()?.parse::<usize>().ok()?)?;
    for part in parts {
        value = match value {
            Value::Array(list) => list.get(part.parse::<usize>().ok()?)?,
            other => other.get(part)?,
        };
    }
    Some(value.clone())
}

fn refer_tree(tree: &Value, answers: &[Value]) -> Value {
    match tree {
        Value::String(text) if text.starts_with("${") && text.ends_with('}') && text.matches("${").count() == 1 => {
            looked_up(&text[2..text.len() - 1], answers).unwrap_or(Value::Null)
        }
        Value::String(text) => Value::String(refer(text, answers)),
        Value::Array(list) => list.iter().map(|v| refer_tree(v, answers)).collect(),
        Value::Object(map) => {
            map.iter().map(|(k, v)| (k.clone(), refer_tree(v, answers))).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}

/// `@repeat:x:N` by N times `x`.
fn repeat(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("@repeat:") {
        out.push_str(&rest[..start]);
        let spec = &rest[start + "@repeat:".len()..];
        let (what, after) = spec.split_once(':').expect("a repeat has a count");
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        out.push_str(&what.repeat(after[..digits].parse().expect("a count")));
        rest = &after[digits..];
    }
    out.push_str(rest);
    out
}

fn compare_answer(expected: &Value, answer: &Answer, found: &mut Vec<String>) {
    if expected["code"].as_u64() != Some(u64::from(answer.code)) {
        found.push(format!("code {} instead of {}: {}", answer.code, expected["code"], short(&answer.text)));
    }
    compare_headers(expected, answer, found);
    if let Some(body) = expected.get("body") {
        let any_order = expected["any_order"] == json!(true);
        let (mut left, mut right) = (tidy(body), tidy(&answer.body));
        drop_managed(&left, &mut right);
        if any_order {
            sort_causes(&mut left);
            sort_causes(&mut right);
        }
        compare("", &left, &right, found);
    }
    if let Some(events) = expected["events"].as_array() {
        let mut shown = Vec::new();
        for event in &answer.events {
            let end = event["object"]["metadata"]["annotations"].get("k8s.io/initial-events-end").is_some()
                || event["object"]["rows"][0]["object"]["metadata"]["annotations"]
                    .get("k8s.io/initial-events-end")
                    .is_some();
            if event["type"] != "BOOKMARK" || end {
                shown.push(tidy(event));
            }
        }
        let expected: Vec<Value> = events.iter().map(tidy).collect();
        for (left, right) in expected.iter().zip(&mut shown) {
            drop_managed(left, right);
        }
        compare("events", &Value::Array(expected), &Value::Array(shown), found);
    }
    if let Some(text) = expected["text"].as_str()
        && !matches(text, &answer.text)
    {
        found.push(format!("text {:?} instead of {text:?}", short(&answer.text)));
    }
}

fn compare_headers(expected: &Value, answer: &Answer, found: &mut Vec<String>) {
    let media = expected["headers"]["Content-Type"].as_str();
    let media = media.or_else(|| expected.get("body").map(|_| "application/json"));
    let base = |text: &str| text.split(';').next().unwrap_or("").to_owned();
    if let Some(media) = media.filter(|media| base(media) != base(&answer.media)) {
        found.push(format!("media type {} instead of {media}", answer.media));
    }
    if let Some(retry) = expected["headers"]["Retry-After"].as_str()
        && answer.headers["retry-after"] != retry
    {
        found.push(format!("Retry-After {:?} instead of {retry}", answer.headers["retry-after"]));
    }
    let warnings: Vec<&str> = expected["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let same =
        warnings.len() == answer.warnings.len() && warnings.iter().zip(&answer.warnings).all(|(e, a)| matches(e, a));
    if !same {
        found.push(format!("warnings {:?} instead of {warnings:?}", answer.warnings));
    }
}

/// Without what is not compared.
fn tidy(tree: &Value) -> Value {
    match tree {
        Value::Object(map) => {
            let mut out = Map::new();
            for (key, value) in map {
                if key == "creationTimestamp" && value.is_null() {
                    continue;
                }
                let mut value = tidy(value);
                if key == "metadata" && value.is_object() {
                    let metadata = value.as_object_mut().unwrap();
                    for field in ["uid", "resourceVersion", "creationTimestamp"] {
                        metadata.remove(field);
                    }
                    if let Some(fields) = metadata.get_mut("managedFields").and_then(Value::as_array_mut) {
                        for entry in fields.iter_mut().filter_map(Value::as_object_mut) {
                            entry.remove("time");
                        }
                        let text = |v: &Value, k: &str| v[k].as_str().unwrap_or("").to_owned();
                        fields
                            .sort_by_key(|v| ["operation", "manager", "subresource", "apiVersion"].map(|k| text(v, k)));
                    }
                }
                if key == "columnDefinitions" {
                    for column in value.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
                        column.remove("description");
                    }
                }
                out.insert(key.clone(), value);
            }
            Value::Object(out)
        }
        Value::Array(list) => list.iter().map(tidy).collect(),
        other => other.clone(),
    }
}

/// `managedFields` is compared only where the expectation has it.
fn drop_managed(expected: &Value, actual: &mut Value) {
    match actual {
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                let other = expected.get(key).unwrap_or(&Value::Null);
                if key == "metadata" && other.get("managedFields").is_none() {
                    value.as_object_mut().map(|m| m.remove("managedFields"));
                }
                drop_managed(other, value);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter_mut().enumerate() {
                drop_managed(expected.get(index).unwrap_or(&Value::Null), value);
            }
        }
        _ => {}
    }
}

fn sort_causes(tree: &mut Value) {
    if let Some(causes) = tree.pointer_mut("/details/causes").and_then(Value::as_array_mut) {
        causes.sort_by_key(Value::to_string);
    }
}

fn short(text: &str) -> String {
    text.chars().take(600).collect()
}

fn compare(path: &str, expected: &Value, actual: &Value, found: &mut Vec<String>) {
    match (expected, actual) {
        (Value::Object(left), Value::Object(right)) => {
            let mut rest: Vec<&String> = right.keys().collect();
            for (key, value) in left {
                let partner =
                    if right.contains_key(key) { Some(key) } else { rest.iter().copied().find(|k| matches(key, k)) };
                match partner {
                    Some(partner) => {
                        compare(&format!("{path}.{key}"), value, &right[partner], found);
                        rest.retain(|k| *k != partner);
                    }
                    None => found.push(format!("{path}.{key} is missing: {}", short(&value.to_string()))),
                }
            }
            for key in rest {
                found.push(format!("{path}.{key} is too much: {}", short(&right[key].to_string())));
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                compare(&format!("{path}[{index}]"), left, right, found);
            }
        }
        (Value::Number(left), Value::Number(right)) if left.as_f64() == right.as_f64() => {}
        (Value::String(left), Value::String(right)) if matches(left, right) => {}
        (Value::String(left), Value::Number(_)) if left == "<any>" || left == "<rv>" => {}
        (left, right) if left == right => {}
        (left, right) => {
            found.push(format!("{path}: {} instead of {}", short(&right.to_string()), short(&left.to_string())))
        }
    }
}

/// A text against one with holes.
fn matches(pattern: &str, text: &str) -> bool {
    if !pattern.contains('<') && !pattern.contains("@repeat:") {
        return pattern == text;
    }
    let pattern = repeat(pattern);
    holes(&pattern, text)
}

fn holes(pattern: &str, text: &str) -> bool {
    let Some((at, hole, end)) = first_hole(pattern) else { return pattern == text };
    let Some(rest) = text.strip_prefix(&pattern[..at]) else { return false };
    let after = &pattern[end..];
    let ends = (0..=rest.len()).rev().filter(|i| rest.is_char_boundary(*i));
    let mut ends = ends.filter(|i| fits(&hole, &rest[..*i]));
    if after.is_empty() { ends.any(|i| i == rest.len()) } else { ends.any(|i| holes(after, &rest[i..])) }
}

fn first_hole(pattern: &str) -> Option<(usize, String, usize)> {
    const NAMES: &[&str] = &["uid", "time", "age", "rv", "any", "diff", "go-value", "object"];
    let mut from = 0;
    while let Some(at) = pattern[from..].find('<').map(|i| i + from) {
        if let Some(length) = pattern[at..].find('>') {
            let name = &pattern[at + 1..at + length];
            if NAMES.contains(&name) || name.starts_with("long:") {
                return Some((at, name.to_owned(), at + length + 1));
            }
        }
        from = at + 1;
    }
    None
}

fn fits(hole: &str, text: &str) -> bool {
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    match hole {
        "uid" => {
            let parts: Vec<&str> = text.split('-').collect();
            parts.iter().map(|p| p.len()).eq([8, 4, 4, 4, 12])
                && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-'))
        }
        "time" => text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok(),
        "age" => {
            let mut number = false;
            let mut units = 0;
            for b in text.bytes() {
                match b {
                    b'0'..=b'9' => number = true,
                    b's' | b'm' | b'h' | b'd' | b'y' if number => {
                        number = false;
                        units += 1;
                    }
                    _ => return false,
                }
            }
            units > 0 && !number
        }
        "rv" => digits(text),
        "any" => !text.is_empty(),
        "diff" | "go-value" | "object" => true,
        long => long.strip_prefix("long:").and_then(|n| n.parse::<usize>().ok()) == Some(text.chars().count()),
    }
}
