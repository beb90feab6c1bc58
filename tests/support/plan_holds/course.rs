//! What became of each workload's pods: as a plan names it, and as the changes of pods tell it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// `deployment/web`: the workload at the root of a pod's owners.
type Name = String;

/// What became of the pods of all workloads.
pub type Courses = BTreeMap<Name, Course>;

/// What became of one workload's pods.
#[derive(Debug, Default, PartialEq)]
pub struct Course {
    pub steps: Vec<Step>,
    /// The most pods at one moment beyond both the old and the new number.
    extra: u64,
    /// The most ready pods that were missing of the smaller of old and new number.
    missing: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Make(String),
    Delete(String),
}

impl Step {
    fn pod(&self) -> &str {
        let (Step::Make(pod) | Step::Delete(pod)) = self;
        pod
    }

    fn is_make(&self) -> bool {
        matches!(self, Step::Make(_))
    }
}

impl Course {
    pub fn made(&self) -> usize {
        self.steps.iter().filter(|step| step.is_make()).count()
    }

    pub fn deleted(&self) -> usize {
        self.steps.len() - self.made()
    }

    /// What is told of the order of a StatefulSet's pods: those that go, or else those that come.
    fn told(&self) -> String {
        let gone = self.gone(None);
        let told = if gone.is_empty() { self.steps.iter().map(Step::pod).collect() } else { gone };
        told.join(", ")
    }

    /// Names of deleted pods that were there from the beginning, or of all.
    fn gone<'c>(&'c self, of: Option<&BTreeSet<&str>>) -> Vec<&'c str> {
        let gone = self.steps.iter().filter(|step| !step.is_make()).map(Step::pod);
        gone.filter(|pod| of.is_none_or(|there| there.contains(pod))).collect()
    }

    /// How many more pods were made than deleted: the least and the most at any moment.
    fn bounds(&self) -> (i64, i64) {
        let (mut now, mut bounds) = (0, (0, 0));
        for step in &self.steps {
            now += if step.is_make() { 1 } else { -1 };
            bounds = (bounds.0.min(now), bounds.1.max(now));
        }
        bounds
    }

    fn shown(&self) -> String {
        let word = |step: &Step| format!("{}{}", if step.is_make() { '+' } else { '-' }, step.pod());
        let steps: Vec<String> = self.steps.iter().map(word).collect();
        format!("{} ({} extra, {} missing)", steps.join(" "), self.extra, self.missing)
    }
}

/// What a plan says of one workload.
#[derive(Default)]
struct Planned<'p> {
    verdict: &'p str,
    /// The order of pods that is told.
    order: Option<&'p str>,
    course: Course,
}

/// What a plan (`wl plan -o json`) says of what it moves.
fn planned(plan: &Value) -> BTreeMap<Name, Planned<'_>> {
    let all = plan["objects"].as_array().expect("objects").iter();
    let planned = all.map(|object| (label(object, "kind", "name"), planned_of(object)));
    planned.filter(|(_, planned)| !planned.course.steps.is_empty()).collect()
}

fn planned_of(object: &Value) -> Planned<'_> {
    let pods = &object["pods"];
    let step = |step: &Value| match (step["create"].as_str(), step["delete"].as_str()) {
        (Some(pod), None) => Step::Make(pod.into()),
        (None, Some(pod)) => Step::Delete(pod.into()),
        _ => panic!("no step: {step}"),
    };
    let steps: Vec<Step> = pods["steps"].as_array().expect("steps").iter().map(step).collect();
    let number = |field: &str| pods[field].as_u64().expect("a number");
    let course = Course { steps, extra: number("extra"), missing: number("missing") };
    assert_eq!((course.made() as u64, course.deleted() as u64), (number("created"), number("deleted")));
    let order = object.pointer("/notes/order").and_then(Value::as_str);
    Planned { verdict: text(object, "/verdict"), order, course }
}

fn label(object: &Value, kind: &str, name: &str) -> Name {
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    format!("{}/{}", text(kind).to_lowercase(), text(name))
}

fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The workload at the root of a pod's owners, and its uid.
fn root(pod: &Value, owners: &[Value]) -> (Name, String) {
    let controller = |object: &Value| {
        let references = object.pointer("/metadata/ownerReferences").and_then(Value::as_array).cloned();
        references.into_iter().flatten().find(|reference| reference["controller"] == true)
    };
    let mut last = (format!("pod/{}", text(pod, "/metadata/name")), text(pod, "/metadata/uid").to_owned());
    let mut above = controller(pod);
    while let Some(reference) = above {
        last = (label(&reference, "kind", "name"), text(&reference, "/uid").to_owned());
        above = owners.iter().find(|owner| text(owner, "/metadata/uid") == last.1).and_then(controller);
    }
    last
}

fn is_deleting(pod: &Value) -> bool {
    pod.pointer("/metadata/deletionTimestamp").is_some_and(Value::is_string)
}

fn is_live(pod: &Value) -> bool {
    !is_deleting(pod) && !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    is_live(pod) && conditions.into_iter().flatten().any(|c| c["type"] == "Ready" && c["status"] == "True")
}

/// Whether nothing is on its way any more: every pod is ready or has ended, and none is about to go.
pub fn is_quiet(pods: &[Value]) -> bool {
    pods.iter().all(|pod| !is_deleting(pod) && (is_ready(pod) || !is_live(pod)))
}

/// The pods of one root while the changes are walked.
#[derive(Default)]
struct Walk {
    pods: BTreeMap<String, Value>,
    old: (usize, usize),
    most: usize,
    least: usize,
    steps: Vec<Step>,
}

impl Walk {
    fn count(&self) -> (usize, usize) {
        let live = self.pods.values().filter(|pod| is_live(pod)).count();
        (live, self.pods.values().filter(|pod| is_ready(pod)).count())
    }

    fn begin(&mut self) {
        self.old = self.count();
        (self.most, self.least) = self.old;
    }

    fn note(&mut self, is_gone: bool, pod: &Value) {
        let (uid, name) = (text(pod, "/metadata/uid").to_owned(), text(pod, "/metadata/name").to_owned());
        let before = self.pods.get(&uid);
        if before.is_none() {
            self.steps.push(Step::Make(name.clone()));
        }
        if (is_gone || is_deleting(pod)) && !before.is_some_and(is_deleting) {
            self.steps.push(Step::Delete(name));
        }
        if is_gone {
            self.pods.remove(&uid);
        } else {
            self.pods.insert(uid, pod.clone());
        }
        let (live, ready) = self.count();
        (self.most, self.least) = (self.most.max(live), self.least.min(ready));
    }

    fn end(self) -> Course {
        let (new, _) = self.count();
        Course {
            steps: self.steps,
            extra: self.most.saturating_sub(self.old.0.max(new)) as u64,
            missing: self.old.1.min(new).saturating_sub(self.least) as u64,
        }
    }
}

/// The courses that the changes of pods tell, each with whether the pod is gone by it. `before`: the pods that were there then;
/// `owners`: everything between pods and their roots that there ever was.
pub fn happened(before: &[Value], changes: &[(bool, Value)], owners: &[Value]) -> Courses {
    let mut walks: BTreeMap<(Name, String), Walk> = BTreeMap::new();
    for pod in before {
        let uid = text(pod, "/metadata/uid").to_owned();
        walks.entry(root(pod, owners)).or_default().pods.insert(uid, pod.clone());
    }
    walks.values_mut().for_each(Walk::begin);
    // One after the other: what is deleted and made again under the same name has its steps in their order.
    let mut all: BTreeMap<Name, Vec<Step>> = BTreeMap::new();
    for (is_gone, pod) in changes {
        let root = root(pod, owners);
        let walk = walks.entry(root.clone()).or_default();
        let known = walk.steps.len();
        walk.note(*is_gone, pod);
        all.entry(root.0).or_default().extend(walk.steps[known..].iter().cloned());
    }
    let mut courses = Courses::new();
    for ((name, _), walk) in walks {
        let (course, found) = (walk.end(), courses.entry(name).or_default());
        found.extra = found.extra.max(course.extra);
        found.missing = found.missing.max(course.missing);
    }
    for (name, steps) in all {
        courses.entry(name).or_default().steps = steps;
    }
    courses.retain(|_, course| !course.steps.is_empty());
    courses
}

/// How far the order of steps is the plan's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Pod by pod, by their names.
    Names,
    /// Deletions by their names, and each pod's own steps; how long a pod takes to end decides when the next is made.
    Deletions,
    /// What is made, by the names.
    Makes,
    /// Whether a pod is made or deleted next.
    Kinds,
    /// Never more pods, and never fewer.
    Bounds,
    /// All deletions, in any order, before all that is made, in its order.
    Replacement,
    /// Nobody waits for the pods of what is deleted.
    Any,
}

/// By Kubernetes' rules for the workload as it is wanted now.
fn order(name: &str, verdict: &str, wanted: Option<&Value>) -> Order {
    let spec = wanted.map_or(&Value::Null, |object| &object["spec"]);
    let rolling = &spec["strategy"]["rollingUpdate"];
    match (verdict, name.split('/').next()) {
        ("delete", _) => Order::Any,
        ("replace", _) => Order::Replacement,
        (_, Some("statefulset")) if spec["podManagementPolicy"] == "Parallel" => Order::Deletions,
        (_, Some("statefulset" | "pod")) => Order::Names,
        (_, Some("daemonset")) => Order::Kinds,
        (_, Some("deployment")) if spec["strategy"]["type"] == "Recreate" => Order::Kinds,
        // One at a time.
        (_, Some("deployment")) if rolling["maxSurge"] == 1 && rolling["maxUnavailable"] == 0 => Order::Kinds,
        (_, Some("deployment")) if rolling["maxSurge"] == 0 && rolling["maxUnavailable"] == 1 => Order::Kinds,
        (_, Some("job")) => Order::Makes,
        _ => Order::Bounds,
    }
}

/// A Job's pods are told apart by their index, others of random names not at all.
fn known_name(name: &str, step: &Step) -> String {
    let sign = if step.is_make() { '+' } else { '-' };
    match name.split('/').next() {
        Some("statefulset" | "pod") => format!("{sign}{}", step.pod()),
        Some("job") => format!("{sign}{}", step.pod().rsplit_once('-').map_or("", |(base, _)| base)),
        _ => sign.to_string(),
    }
}

/// What happened that the plan did not say, or did not happen that it said. `before`: the pods that were there; `wanted`: the
/// objects that were applied.
pub fn differences(plan: &Value, happened: &Courses, before: &[Value], wanted: &[Value]) -> Vec<String> {
    let planned = planned(plan);
    let there: BTreeSet<&str> = before.iter().map(|pod| text(pod, "/metadata/name")).collect();
    let (unchanged, nothing) = (Planned { verdict: "unchanged", ..Planned::default() }, Course::default());
    let mut found = Vec::new();
    // A plan takes for granted that CronJobs do not fire meanwhile, and says so.
    let names = planned.keys().chain(happened.keys()).filter(|name| !name.starts_with("cronjob/"));
    for name in names.collect::<BTreeSet<_>>() {
        let (plan, real) = (planned.get(name).unwrap_or(&unchanged), happened.get(name).unwrap_or(&nothing));
        let is_it = |object: &&Value| {
            let kind = object["kind"].as_str().unwrap_or_default().to_lowercase();
            format!("{kind}/{}", text(object, "/metadata/name")) == *name
        };
        let order = order(name, plan.verdict, wanted.iter().find(is_it));
        let what = difference(name, order, &plan.course, real, &there);
        let what =
            what.or_else(|| plan.order.filter(|told| *told != real.told()).and(Some("the order is not as it is told")));
        if let Some(what) = what {
            found.push(format!("{name}: {what}\n  planned  {}\n  happened {}", plan.course.shown(), real.shown()));
        }
    }
    found
}

fn difference(name: &str, order: Order, plan: &Course, real: &Course, there: &BTreeSet<&str>) -> Option<&'static str> {
    if (plan.made(), plan.deleted()) != (real.made(), real.deleted()) {
        return Some("not as many pods are made and deleted");
    }
    let sorted = |mut names: Vec<String>| {
        names.sort_unstable();
        names
    };
    let known = |course: &Course| course.steps.iter().map(|step| known_name(name, step)).collect::<Vec<_>>();
    if sorted(known(plan)) != sorted(known(real)) {
        return Some("other pods are made or deleted");
    }
    let of_old = |course: &Course| sorted(course.gone(Some(there)).into_iter().map(str::to_owned).collect());
    if of_old(plan) != of_old(real) {
        return Some("of the pods that were there others are deleted");
    }
    if real.extra > plan.extra || real.missing > plan.missing {
        return Some("more pods are extra or missing");
    }
    let ((least, most), (low, high)) = (plan.bounds(), real.bounds());
    if low < least || high > most {
        return Some("more pods are made or deleted at a time");
    }
    is_in_order(name, order, plan, real).err()
}

fn is_in_order(name: &str, order: Order, plan: &Course, real: &Course) -> Result<(), &'static str> {
    let known = |course: &Course| course.steps.iter().map(|step| known_name(name, step)).collect::<Vec<_>>();
    let made = |course: &Course| known(course).into_iter().filter(|step| step.starts_with('+')).collect::<Vec<_>>();
    let by_pod = |course: &Course| {
        let mut steps = known(course);
        steps.sort_by(|a, b| a[1..].cmp(&b[1..]));
        steps
    };
    let is_same = match order {
        Order::Names => known(plan) == known(real),
        Order::Deletions if plan.deleted() == 0 => known(plan) == known(real),
        Order::Deletions => plan.gone(None) == real.gone(None) && by_pod(plan) == by_pod(real),
        Order::Makes => made(plan) == made(real),
        Order::Kinds => plan.steps.iter().map(Step::is_make).eq(real.steps.iter().map(Step::is_make)),
        Order::Replacement => real.steps.is_sorted_by_key(Step::is_make) && made(plan) == made(real),
        Order::Bounds | Order::Any => true,
    };
    if is_same { Ok(()) } else { Err("the order is another") }
}
