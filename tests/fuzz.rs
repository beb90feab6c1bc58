//! Throws mutated input at what reads untrusted text, for `WL_FUZZ_SECONDS` (default 2). Nothing may panic,
//! hang or grow beyond bounds. `fuzz/` holds the same targets for coverage-guided runs (`make fuzz`).
#![cfg(feature = "internals")]
#![expect(clippy::disallowed_methods, reason = "the run is bounded by the wall clock")]

use std::time::{Duration, Instant};

use wl::api::Random;
use wl::plan::fork::SplitMix;

fn budget() -> Duration {
    let seconds = std::env::var("WL_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(2);
    Duration::from_secs(seconds)
}

/// Pieces that make YAML and JSON what they are.
const PIECES: &[&str] = &[
    "---\n",
    "...\n",
    "- ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "&a ",
    "*a",
    "<<: *a\n",
    "!!str ",
    "!!binary ",
    "|\n  ",
    ">-\n ",
    "\"",
    "'",
    "\\",
    "\u{feff}",
    "\t",
    "\r\n",
    "# ",
    "? ",
    "%YAML 1.1\n",
    "~",
    "0o17",
    "1e999",
    ".inf",
    "-0",
    "\u{0}",
    "é",
    "\u{1f600}",
    "kind: List\nitems:\n",
    "apiVersion: v1\n",
    "metadata:\n  name: x\n",
    ",",
    "null",
    "true",
    "    ",
    "\"\\u0000\"",
    "\"\\ud800\"",
];

fn seeds() -> Vec<Vec<u8>> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let mut found = vec![b"a: &a [1, *a]\n".to_vec(), b"{\"a\":1}{\"b\":2}".to_vec()];
    let mut folders = vec![std::path::PathBuf::from(root)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "yaml" || e == "json") {
                found.push(std::fs::read(path).unwrap());
            }
        }
    }
    found
}

fn below(random: &mut SplitMix, bound: usize) -> usize {
    usize::try_from(random.next_u64() % (bound.max(1) as u64)).unwrap()
}

fn mutate(random: &mut SplitMix, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[below(random, seeds.len())].clone();
    for _ in 0..=below(random, 8) {
        let at = below(random, bytes.len() + 1);
        match below(random, 6) {
            0 => {
                let piece = PIECES[below(random, PIECES.len())].as_bytes();
                let times = if below(random, 20) == 0 { 300 } else { 1 };
                bytes.splice(at..at, piece.repeat(times));
            }
            1 if !bytes.is_empty() => {
                let end = (at + below(random, 40)).min(bytes.len());
                bytes.drain(at.min(end)..end);
            }
            2 if at < bytes.len() => bytes[at] ^= 1 << below(random, 8),
            3 => {
                let other = &seeds[below(random, seeds.len())];
                let from = below(random, other.len() + 1);
                let end = (from + below(random, 80)).min(other.len());
                bytes.splice(at..at, other[from..end].to_vec());
            }
            4 => bytes.truncate(at),
            _ => {
                let end = (at + below(random, 60)).min(bytes.len());
                let copy = bytes[at.min(end)..end].to_vec();
                bytes.splice(at..at, copy);
            }
        }
    }
    bytes
}

#[test]
fn the_manifest_reader_survives_mutated_manifests() {
    let (seeds, start) = (seeds(), Instant::now());
    let mut random = SplitMix(u64::from(std::process::id()));
    let mut rounds = 0u64;
    while start.elapsed() < budget() {
        let bytes = mutate(&mut random, &seeds);
        let before = Instant::now();
        let parsed = wl::manifest::parse("fuzz.yaml", &bytes);
        for document in &parsed.documents {
            let tree = document.json();
            for path in ["metadata.name", "spec.template.spec.containers[0].image", "data[a.b]", ".spec.x[name=\"y\"]"]
            {
                document.place_of(path);
            }
            let again = wl::manifest::parse("again.yaml", wl::manifest::to_yaml(&tree).as_bytes());
            assert!(again.problems.is_empty(), "{tree} is written as something unreadable: {:?}", again.problems);
            if let [one] = again.documents.as_slice() {
                assert_eq!(one.json(), tree);
            }
        }
        for problem in &parsed.problems {
            let _ = (problem.place(), format!("{:?}", miette::Report::new(problem.clone())));
        }
        assert!(before.elapsed() < Duration::from_secs(20), "{} bytes took too long", bytes.len());
        rounds += 1;
    }
    println!("{rounds} inputs");
}

/// The trees of a mutated input, as a body would be read.
fn tree(random: &mut SplitMix, seeds: &[Vec<u8>]) -> Option<serde_json::Value> {
    let parsed = wl::manifest::first_document(&mutate(random, seeds)).ok()?;
    Some(parsed.tree)
}

#[test]
fn patches_and_applies_survive_mutated_trees() {
    let (seeds, start) = (seeds(), Instant::now());
    let mut random = SplitMix(u64::from(std::process::id()) + 1);
    let mut rounds = 0u64;
    while start.elapsed() < budget() {
        if let (Some(live), Some(patch)) = (tree(&mut random, &seeds), tree(&mut random, &seeds)) {
            wl::apply::fuzz::merge_any(&live, &patch);
            rounds += 1;
        }
    }
    println!("{rounds} pairs");
}

/// A body in protobuf of some kind: tags and lengths that fit now and then.
fn protobuf(random: &mut SplitMix, depth: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..below(random, 6) {
        let number = u8::try_from(1 + below(random, 15)).unwrap();
        match below(random, 8) {
            0 => bytes.extend([number << 3, u8::try_from(below(random, 256)).unwrap()]),
            1 => bytes.extend([number << 3 | 2, u8::try_from(below(random, 256)).unwrap()]),
            2 => bytes.extend([number << 3 | u8::try_from(below(random, 8)).unwrap(), 1, 0, 0, 0]),
            _ if depth < 9 => {
                let inner = protobuf(random, depth + 1);
                let length = inner.len();
                bytes.push(number << 3 | 2);
                if length >= 128 {
                    bytes.push(u8::try_from(length & 127).unwrap() | 128);
                }
                bytes.push(u8::try_from(if length >= 128 { length >> 7 } else { length } & 127).unwrap());
                bytes.extend(inner);
            }
            _ => bytes.extend([number << 3 | 2, 1, b'a']),
        }
    }
    bytes
}

#[test]
fn bodies_in_protobuf_are_read_or_refused() {
    let kinds = [
        ("v1", "Pod"),
        ("v1", "Service"),
        ("apps/v1", "Deployment"),
        ("v1", "DeleteOptions"),
        ("v1", "PersistentVolume"),
    ];
    let (start, mut random) = (Instant::now(), SplitMix(u64::from(std::process::id()) + 2));
    let mut taken = 0u64;
    while start.elapsed() < budget() {
        let (version, kind) = kinds[below(&mut random, kinds.len())];
        let gvk = wl::api::Gvk::of(version, kind);
        let raw = protobuf(&mut random, 0);
        let mut length = vec![];
        let mut rest = raw.len();
        while rest > 127 {
            length.push(u8::try_from(rest & 127).unwrap() | 128);
            rest >>= 7;
        }
        length.push(u8::try_from(rest).unwrap());
        let body = [b"k8s\0\x12".as_slice(), &length, &raw].concat();
        if let Ok(tree) = wl::api::protobuf::decode(&body, &gvk) {
            assert_eq!(tree["kind"], kind);
            taken += 1;
        }
    }
    assert!(taken > 0, "some body fits");
}
