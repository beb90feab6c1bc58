//! Rows of workloads. Source: printDeployment, printReplicaSet, printStatefulSet, printDaemonSet, printJob, printCronJob.

use jiff::Timestamp;
use serde_json::json;

use super::pods::containers;
use super::view::{View, text};
use crate::api::Json;
use crate::api::shown::{human, labels, selector};

const TEMPLATE: &str = "/spec/template/spec/containers";

pub(super) fn cells(resource: &str, view: &View<'_>) -> Vec<Json> {
    match resource {
        "deployments" => {
            let mut cells = vec![
                json!(format!("{}/{}", view.int("/status/readyReplicas"), view.int("/spec/replicas"))),
                json!(view.int("/status/updatedReplicas")),
                json!(view.int("/status/availableReplicas")),
                view.own_age(),
            ];
            cells.extend(containers(view, TEMPLATE));
            cells.push(json!(selector(view.get("/spec/selector"))));
            cells
        }
        "replicasets" => replicas(view, selector(view.get("/spec/selector"))),
        "replicationcontrollers" => replicas(view, labels(view.get("/spec/selector"))),
        "statefulsets" => {
            let ready = format!("{}/{}", view.int("/status/readyReplicas"), view.int("/spec/replicas"));
            [vec![json!(ready), view.own_age()], containers(view, TEMPLATE).to_vec()].concat()
        }
        "daemonsets" => daemon_set(view),
        "jobs" => job(view),
        "cronjobs" => cron_job(view),
        "podtemplates" => {
            let mut cells = containers(view, "/template/spec/containers").to_vec();
            cells.push(json!(labels(view.get("/template/metadata/labels"))));
            cells
        }
        "controllerrevisions" => {
            let owner = view.list("/metadata/ownerReferences").iter().find(|r| r.get("controller") == Some(&json!(true)));
            let shown = owner.map_or("<none>".to_owned(), |r| {
                let group = text(r, "/apiVersion").split_once('/').map(|(group, _)| format!(".{group}"));
                format!("{}{}/{}", text(r, "/kind").to_lowercase(), group.unwrap_or_default().to_lowercase(), text(r, "/name"))
            });
            vec![json!(shown), json!(view.int("/revision")), view.own_age()]
        }
        _ => vec![view.own_age()],
    }
}

fn replicas(view: &View<'_>, selector: String) -> Vec<Json> {
    let mut cells = vec![
        json!(view.int("/spec/replicas")),
        json!(view.int("/status/replicas")),
        json!(view.int("/status/readyReplicas")),
        view.own_age(),
    ];
    cells.extend(containers(view, TEMPLATE));
    cells.push(json!(selector));
    cells
}

fn daemon_set(view: &View<'_>) -> Vec<Json> {
    let numbers = ["desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled", "numberAvailable"];
    let mut cells: Vec<Json> = numbers.iter().map(|n| json!(view.int(&format!("/status/{n}")))).collect();
    cells.push(json!(labels(view.get("/spec/template/spec/nodeSelector"))));
    cells.push(view.own_age());
    cells.extend(containers(view, TEMPLATE));
    cells.push(json!(selector(view.get("/spec/selector"))));
    cells
}

fn job(view: &View<'_>) -> Vec<Json> {
    let succeeded = view.int("/status/succeeded");
    let completions = match (view.at("/spec/completions").and_then(Json::as_i64), view.int("/spec/parallelism")) {
        (Some(wanted), _) => format!("{succeeded}/{wanted}"),
        (None, parallel) if parallel > 1 => format!("{succeeded}/1 of {parallel}"),
        (None, _) => format!("{succeeded}/1"),
    };
    let time = |pointer: &str| view.text(pointer).parse::<Timestamp>().ok();
    let duration = match (time("/status/startTime"), time("/status/completionTime")) {
        (None, _) => String::new(),
        (Some(start), None) => human(view.now.duration_since(start)),
        (Some(start), Some(end)) => human(end.duration_since(start)),
    };
    let status = ["Complete", "Failed"]
        .into_iter()
        .find(|kind| view.is_true(kind))
        .or(view.is_deleting().then_some("Terminating"))
        .or_else(|| ["Suspended", "FailureTarget", "SuccessCriteriaMet"].into_iter().find(|kind| view.is_true(kind)))
        .unwrap_or("Running");
    let mut cells = vec![json!(status), json!(completions), json!(duration), view.own_age()];
    cells.extend(containers(view, TEMPLATE));
    cells.push(json!(selector(view.get("/spec/selector"))));
    cells
}

fn cron_job(view: &View<'_>) -> Vec<Json> {
    let suspend = match view.at("/spec/suspend").and_then(Json::as_bool) {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    };
    let last = if view.at("/status/lastScheduleTime").is_some() { view.age("/status/lastScheduleTime") } else { "<none>".into() };
    let mut cells = vec![
        json!(view.text("/spec/schedule")),
        json!(view.text_or("/spec/timeZone", "<none>")),
        json!(suspend),
        json!(view.count("/status/active")),
        json!(last),
        view.own_age(),
    ];
    cells.extend(containers(view, "/spec/jobTemplate/spec/template/spec/containers"));
    cells.push(json!(selector(view.get("/spec/jobTemplate/spec/selector"))));
    cells
}
