//! `wl-mutants FILES REPORT`: which mutants of FILES (a glob below `src/`) no test notices.
//!
//! `cargo mutants` (27 or newer) names the mutants, but builds the program anew for each of them, which takes a minute here. This puts all of
//! them into one copy of the source, each behind `crate::mutant(N)`, builds its tests once and runs them with one mutant on at
//! a time. What a mutant needs to be typed that the place does not have is left out, as `cargo mutants` leaves it out.
//!
//! The report has a line for each mutant: who noticed it, or `nobody`, and its name. Those that nobody notices must stand in
//! `explained.txt`, below the reason; else the exit code is 1.

mod weave;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, thread};

use serde_json::{Deserializer, Value};
use weave::Mutant;

/// The tests that are asked, quickest first: target, filter, seconds after which a mutant counts as noticed.
const TESTS: [(&str, &str, &str); 4] =
    [("wl", "controllers::", "10"), ("controllers", "", "40"), ("engine", "", "90"), ("wl", "", "180")];
const FEATURES: [&str; 3] = ["--locked", "--features", "internals"];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [files, report] = arguments.as_slice() else { return Err("wl-mutants FILES REPORT".into()) };
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no project")?;
    let copy = copy(project)?;
    let mutants = named(&copy, files)?;
    let woven = weave_all(&copy, &mutants)?;
    println!("{} mutants, of which {} are typed", mutants.len(), woven.len());
    let tests = build(&copy)?;
    if let Some(who) = noticed_by(&copy, &tests, mutants.len()) {
        return Err(format!("without a mutant, {who} fails").into());
    }
    let noticed = run_all(&copy, &tests, &woven);
    let names = |number: &usize| mutants[*number].name.as_str();
    let lines: Vec<String> = noticed.iter().map(|(number, who)| format!("{who}\t{}\n", names(number))).collect();
    fs::write(report, lines.concat())?;
    judge(&noticed.iter().filter(|(_, who)| who == "nobody").map(|(number, _)| names(number)).collect::<Vec<_>>())
}

/// A copy of what is committed, with a place of its own to build in.
fn copy(project: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let copy = project.join("target/mutants");
    let _ = fs::remove_dir_all(copy.join(".git"));
    fs::create_dir_all(&copy)?;
    let archive = project.join("target/mutants.tar");
    done(Command::new("git").args(["archive", "-o"]).arg(&archive).arg("HEAD").current_dir(project))?;
    let _ = fs::remove_dir_all(copy.join("src"));
    done(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&copy))?;
    let lib = copy.join("src/lib.rs");
    fs::write(&lib, weave::with_switch(&fs::read_to_string(&lib)?))?;
    Ok(copy)
}

fn named(copy: &Path, files: &str) -> Result<Vec<Mutant>, Box<dyn Error>> {
    let listed = done(Command::new("cargo").args(["mutants", "--list", "--json", "-f", files]).current_dir(copy))?;
    let listed: Vec<Value> = serde_json::from_slice(&listed.stdout)?;
    listed.iter().map(|mutant| Mutant::read(mutant).ok_or_else(|| "not the list of cargo-mutants 27".into())).collect()
}

/// Weaves until the compiler takes it; the numbers of those that are in.
fn weave_all(copy: &Path, mutants: &[Mutant]) -> Result<BTreeSet<usize>, Box<dyn Error>> {
    let files: BTreeSet<&str> = mutants.iter().map(|m| m.file.as_str()).collect();
    let texts: BTreeMap<&str, String> = files
        .into_iter()
        .map(|file| Ok((file, fs::read_to_string(copy.join(file))?)))
        .collect::<Result<_, std::io::Error>>()?;
    let mut typed: BTreeSet<usize> = (0..mutants.len()).filter(|number| mutants[*number].has_one_type()).collect();
    loop {
        let mut woven = BTreeSet::new();
        for (file, text) in &texts {
            let here = typed
                .iter()
                .filter(|number| mutants[**number].file == *file)
                .map(|number| (*number, &mutants[*number]));
            let (text, put) = weave::weave(text, here)?;
            fs::write(copy.join(file), text)?;
            woven.extend(put);
        }
        let refused = refused(copy)?;
        if refused.is_empty() {
            return Ok(woven);
        }
        let before = typed.len();
        typed.retain(|number| !refused.contains(number));
        if typed.len() == before {
            return Err("the compiler refuses what is of no mutant".into());
        }
    }
}

/// The mutants at the places of the compiler's errors.
fn refused(copy: &Path) -> Result<BTreeSet<usize>, Box<dyn Error>> {
    let arguments = ["check", "--lib", "--message-format", "json"];
    let checked =
        Command::new("cargo").args(arguments).args(FEATURES).current_dir(copy).stderr(Stdio::null()).output()?;
    let mut refused = BTreeSet::new();
    for message in Deserializer::from_slice(&checked.stdout).into_iter::<Value>() {
        let message = message?;
        let spans =
            message.pointer("/message/spans").filter(|_| message.pointer("/message/level") == Some(&"error".into()));
        for span in spans.and_then(Value::as_array).into_iter().flatten().filter(|span| span["is_primary"] == true) {
            let text = fs::read_to_string(copy.join(span["file_name"].as_str().unwrap_or_default()))?;
            let (line, column) = (span["line_start"].as_u64().unwrap_or(1), span["column_start"].as_u64().unwrap_or(1));
            let line: String = text
                .lines()
                .nth(usize::try_from(line)? - 1)
                .unwrap_or("")
                .chars()
                .take(usize::try_from(column)?)
                .collect();
            refused.extend(weave::last_switch(&line));
        }
    }
    if refused.is_empty() && !checked.status.success() {
        return Err("the copy cannot be checked".into());
    }
    Ok(refused)
}

/// Test targets and their programs.
fn build(copy: &Path) -> Result<BTreeMap<String, PathBuf>, Box<dyn Error>> {
    let arguments =
        ["test", "--no-run", "--message-format", "json", "--lib", "--test", "controllers", "--test", "engine"];
    let mut command = Command::new("cargo");
    command.args(arguments).args(FEATURES).current_dir(copy).stderr(Stdio::null());
    let built = done(command.env("CARGO_INCREMENTAL", "0").env("CARGO_PROFILE_TEST_OPT_LEVEL", "1"))?;
    let mut tests = BTreeMap::new();
    for message in Deserializer::from_slice(&built.stdout).into_iter::<Value>() {
        let message = message?;
        if let (Some(name), Some(program)) =
            (message.pointer("/target/name").and_then(Value::as_str), message["executable"].as_str())
        {
            tests.insert(name.to_owned(), program.into());
        }
    }
    Ok(tests)
}

/// Each mutant and who noticed it, by as many threads as there are processors.
fn run_all(copy: &Path, tests: &BTreeMap<String, PathBuf>, woven: &BTreeSet<usize>) -> Vec<(usize, String)> {
    let numbers: Vec<usize> = woven.iter().copied().collect();
    let (next, noticed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(number) = numbers.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let who = noticed_by(copy, tests, *number).unwrap_or_else(|| "nobody".to_owned());
                    let Ok(mut noticed) = noticed.lock() else { return };
                    noticed.push((*number, who));
                    if noticed.len() % 100 == 0 {
                        println!("{} of {}", noticed.len(), numbers.len());
                    }
                }
            });
        }
    });
    let mut noticed = noticed.into_inner().unwrap_or_default();
    noticed.sort();
    noticed
}

fn noticed_by(copy: &Path, tests: &BTreeMap<String, PathBuf>, number: usize) -> Option<String> {
    for (target, filter, seconds) in TESTS {
        let Some(program) = tests.get(target) else { continue };
        let mut command = Command::new("timeout");
        command
            .args(["-k", "1", seconds])
            .arg(program)
            .arg(filter)
            .current_dir(copy)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.env("WL_MUTANT", number.to_string()).env("PROPTEST_MAX_SHRINK_ITERS", "0");
        if !command.status().is_ok_and(|status| status.success()) {
            return Some(format!("{target} {filter}").trim().to_owned());
        }
    }
    None
}

/// Whether all that nobody notices is explained, and nothing else.
fn judge(unnoticed: &[&str]) -> Result<(), Box<dyn Error>> {
    let explained: BTreeSet<&str> =
        include_str!("../explained.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let unnoticed: BTreeSet<&str> = unnoticed.iter().map(|name| weave::without_place(name)).collect();
    for name in unnoticed.difference(&explained) {
        println!("nobody notices: {name}");
    }
    for name in explained.difference(&unnoticed) {
        println!("explained, but noticed or gone: {name}");
    }
    if unnoticed.is_subset(&explained) {
        Ok(())
    } else {
        Err("mutants that nobody notices, and nothing explains".into())
    }
}

fn done(command: &mut Command) -> Result<Output, Box<dyn Error>> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(output);
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into())
}
