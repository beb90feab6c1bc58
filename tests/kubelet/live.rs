//! What is seen of one scenario while it is played.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::Path;

use jiff::Timestamp;
use serde_json::Value as Json;

use crate::history::{EventSeen, History, Line, PodChange};

pub struct Live {
    started: Timestamp,
    pub history: History,
    /// uid → name, `p@2` for the second of a name.
    pub pods: BTreeMap<String, String>,
    /// Hashes of static pods, in the order in which they came; they are the uids that the node knows.
    pub hashes: Vec<String>,
    /// The newest of each pod.
    pub objects: HashMap<String, Json>,
    pub pod_ips: Vec<String>,
    pub service_ips: Vec<String>,
    pub host_ip: String,
    /// Last lines that have no end (yet), by the log that they are in.
    pub open_lines: BTreeMap<String, Line>,
    events: HashMap<String, usize>,
}

impl Live {
    pub fn new() -> Self {
        Live {
            started: Timestamp::now(),
            history: History::default(),
            pods: BTreeMap::new(),
            hashes: Vec::new(),
            objects: HashMap::new(),
            pod_ips: Vec::new(),
            service_ips: Vec::new(),
            host_ip: String::new(),
            open_lines: BTreeMap::new(),
            events: HashMap::new(),
        }
    }

    /// Time begins when the first pod is sent.
    pub fn begin(&mut self) {
        self.started = Timestamp::now();
    }

    pub fn since(&self, at: Timestamp) -> f64 {
        at.duration_since(self.started).as_secs_f64()
    }

    pub fn has(&self, uid: &str) -> bool {
        self.pods.contains_key(uid)
    }

    pub fn pod(&mut self, object: &Json, deleted: bool, at: f64) {
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let hash = object.pointer("/metadata/annotations/kubernetes.io~1config.mirror").and_then(Json::as_str);
        let known_by = hash.unwrap_or(&uid).to_owned();
        if hash.is_some() && !self.hashes.contains(&known_by) {
            self.hashes.push(known_by.clone());
        }
        let before = self.pods.values().filter(|n| n.split('@').next() == Some(name)).count();
        let fresh = if before == 0 { name.to_owned() } else { format!("{name}@{}", before + 1) };
        self.pods.entry(known_by).or_insert(fresh);
        let name = name.to_owned();
        let status = object["status"].clone();
        if let Some(ip) = status["hostIP"].as_str() {
            self.host_ip = ip.to_owned();
        }
        if let Some(ip) = status["podIP"].as_str()
            && ip != self.host_ip
            && !self.pod_ips.iter().any(|known| known == ip)
        {
            self.pod_ips.push(ip.to_owned());
        }
        self.history.pods.entry(name).or_default().push(PodChange { at, status, deleted, maybe: false });
        self.objects.insert(uid, object.clone());
    }

    pub fn event(&mut self, object: &Json, deleted: bool, at: f64) {
        if deleted || object["involvedObject"]["kind"] != "Pod" {
            return;
        }
        let text = |pointer: &str| object.pointer(pointer).and_then(Json::as_str).unwrap_or_default().to_owned();
        let uid = text("/metadata/uid");
        let count = object["count"].as_i64().unwrap_or(1);
        let index = *self.events.entry(uid).or_insert_with(|| {
            self.history.events.push(EventSeen {
                pod: text("/involvedObject/name"),
                kind: text("/type"),
                reason: text("/reason"),
                message: String::new(),
                field_path: text("/involvedObject/fieldPath"),
                component: text("/source/component"),
                count: 0,
                seen: Vec::new(),
                maybe: false,
            });
            self.history.events.len() - 1
        });
        let event = &mut self.history.events[index];
        event.message = text("/message");
        event.count = count;
        event.seen.push(at);
    }

    pub fn lines(&mut self, tail: &Tail, lines: &[RawLine]) {
        let Some(name) = self.pods.get(&tail.uid).cloned() else { return };
        let (name, second) =
            name.split_once('@').map_or((name.as_str(), String::new()), |(n, at)| (n, format!("@{at}")));
        let key = format!("{name}/{}/{}{second}", tail.container, tail.attempt);
        let line = |line: &RawLine| Line { at: self.since(line.at), text: line.text.clone(), is_err: line.is_err };
        let whole: Vec<Line> = lines.iter().map(line).collect();
        let open = tail.open_line().map(|l| line(&l));
        self.history.logs.entry(key.clone()).or_default().extend(whole);
        match open {
            Some(open) => self.open_lines.insert(key, open),
            None => self.open_lines.remove(&key),
        };
    }
}

pub struct RawLine {
    pub at: Timestamp,
    pub text: String,
    pub is_err: bool,
}

/// One log, read as it grows, also after it was removed.
pub struct Tail {
    file: std::fs::File,
    rest: Vec<u8>,
    part: String,
    part_of: Option<(Timestamp, bool)>,
    /// How much of it has been read.
    pub read_bytes: usize,
    pub uid: String,
    pub container: String,
    pub attempt: u32,
}

impl Tail {
    /// `…/pods/UID/logs/CONTAINER/ATTEMPT.log`
    pub fn open(path: &Path) -> Option<Self> {
        let attempt = path.file_stem()?.to_str()?.parse().ok()?;
        let container = path.parent()?;
        let uid = container.parent()?.parent()?.file_name()?.to_str()?.to_owned();
        let container = container.file_name()?.to_str()?.to_owned();
        let file = std::fs::File::open(path).ok()?;
        Some(Tail {
            file,
            rest: Vec::new(),
            part: String::new(),
            part_of: None,
            read_bytes: 0,
            uid,
            container,
            attempt,
        })
    }

    /// What was written without an end of line.
    fn open_line(&self) -> Option<RawLine> {
        let (at, is_err) = self.part_of.filter(|_| !self.part.is_empty())?;
        Some(RawLine { at, text: self.part.clone(), is_err })
    }

    pub fn read(&mut self) -> Vec<RawLine> {
        self.read_bytes += self.file.read_to_end(&mut self.rest).unwrap_or(0);
        let mut lines = Vec::new();
        while let Some(end) = self.rest.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line[..end]).into_owned();
            let mut words = line.splitn(4, ' ');
            let (at, stream, tag) = (words.next(), words.next(), words.next());
            let text = words.next().unwrap_or_default();
            let Some(Ok(at)) = at.map(str::parse) else { continue };
            self.part.push_str(text);
            self.part_of = Some((at, stream == Some("stderr")));
            if tag == Some("F") {
                let text = std::mem::take(&mut self.part);
                lines.push(RawLine { at, text, is_err: stream == Some("stderr") });
            }
        }
        lines
    }
}
