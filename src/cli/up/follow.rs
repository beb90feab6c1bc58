//! The logs of all pods of a set, also of those that are still to come, until Ctrl-C.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::api::{Json, Object};
use crate::cli::prune::ApplySet;
use crate::cli::{CliError, Context, logs};
use crate::client::{Ask, Client, segment};

/// Between two looks for new pods and containers.
const LOOK: Duration = Duration::from_secs(1);
/// Lines that wait for being printed.
const QUEUE: usize = 256;

/// One run of a container: pod, container, and which attempt.
type Attempt = (String, String, i64);
type Line = (String, BytesMut);

/// Prints until Ctrl-C, or until everything has ended that can end.
pub async fn follow(ctx: &mut Context, client: &Client, set: &ApplySet) -> Result<(), CliError> {
    let (send, mut lines) = mpsc::channel::<Line>(QUEUE);
    let mut tasks: JoinSet<()> = JoinSet::new();
    let mut followed: BTreeSet<Attempt> = BTreeSet::new();
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    let mut look_at = Instant::now();
    loop {
        if Instant::now() >= look_at {
            look_at = Instant::now() + LOOK;
            let (pods, endless) = pods(client, set).await?;
            for pod in &pods {
                start(client, pod, &mut followed, &mut tasks, &send);
            }
            while tasks.try_join_next().is_some() {}
            let ended = pods.iter().all(|p| matches!(p.str_at("/status/phase"), Some("Succeeded" | "Failed")));
            if ended && !endless && tasks.is_empty() && lines.is_empty() {
                return Ok(());
            }
        }
        tokio::select! {
            _ = &mut interrupt => {
                ctx.err.line("The pods go on; wl down ends them.");
                return Ok(());
            }
            line = lines.recv() => {
                if let Some((prefix, line)) = line {
                    logs::print(ctx, &prefix, &line);
                }
                // More may be waiting: they are printed together.
                while let Ok((prefix, line)) = lines.try_recv() {
                    logs::print(ctx, &prefix, &line);
                }
                ctx.out.flush();
            }
            () = tokio::time::sleep_until(look_at) => {}
        }
        if ctx.out.is_broken() {
            return Ok(());
        }
    }
}

/// The pods that members of the set have made, and whether a member will go on making some.
async fn pods(client: &Client, set: &ApplySet) -> Result<(Vec<Object>, bool), CliError> {
    let members = set.members(client).await?;
    let endless = members.iter().any(|m| {
        matches!(m.found.kind.as_str(), "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "ReplicationController" | "CronJob")
    });
    let uids: BTreeSet<String> = members.iter().map(|m| m.object().uid().to_owned()).collect();
    let namespaces: BTreeSet<&str> = members.iter().map(|m| m.namespace.as_str()).filter(|n| !n.is_empty()).collect();
    let mut all = Vec::new();
    for namespace in namespaces {
        let mut owners: BTreeMap<String, String> = BTreeMap::new();
        for path in ["/apis/apps/v1", "/apis/batch/v1"] {
            let resource = if path.ends_with("apps/v1") { "replicasets" } else { "jobs" };
            for object in list(client, &format!("{path}/namespaces/{}/{resource}", segment(namespace))).await? {
                if let Some(owner) = object.controller_uid() {
                    owners.insert(object.uid().to_owned(), owner.to_owned());
                }
            }
        }
        let own = |pod: &Object| {
            let mut at = Some(pod.uid());
            let mut next = pod.controller_uid();
            while let Some(uid) = at {
                if uids.contains(uid) {
                    return true;
                }
                at = next;
                next = at.and_then(|uid| owners.get(uid)).map(String::as_str);
            }
            false
        };
        let pods = list(client, &format!("/api/v1/namespaces/{}/pods", segment(namespace))).await?;
        all.extend(pods.into_iter().filter(own));
    }
    Ok((all, endless))
}

async fn list(client: &Client, path: &str) -> Result<Vec<Object>, CliError> {
    let mut list = client.get(path).await?;
    let Json::Array(items) = list["items"].take() else { return Ok(Vec::new()) };
    Ok(items.into_iter().map(Object::new).collect())
}

/// Follows the containers of a pod that have begun and are not followed yet.
fn start(client: &Client, pod: &Object, followed: &mut BTreeSet<Attempt>, tasks: &mut JoinSet<()>, send: &mpsc::Sender<Line>) {
    for key in ["/status/initContainerStatuses", "/status/containerStatuses"] {
        for status in pod.at(key).and_then(Json::as_array).into_iter().flatten() {
            let name = status["name"].as_str().unwrap_or("").to_owned();
            let has_begun = ["running", "terminated"].iter().any(|state| status["state"].get(state).is_some());
            let attempt = (pod.uid().to_owned(), name.clone(), status["restartCount"].as_i64().unwrap_or(0));
            if !has_begun || !followed.insert(attempt) {
                continue;
            }
            let path = format!("/api/v1/namespaces/{}/pods/{}/log", segment(pod.namespace()), segment(pod.name()));
            let ask = Ask::get(path).query("container", name.as_str()).query("follow", "true");
            let prefix = format!("[pod/{}/{name}] ", pod.name());
            let (client, send) = (client.clone(), send.clone());
            tasks.spawn(async move {
                // A log that cannot be read any more is at its end.
                let Ok(mut lines) = client.lines(ask).await else { return };
                while let Ok(Some(line)) = lines.next().await {
                    if send.send((prefix.clone(), line)).await.is_err() {
                        return;
                    }
                }
            });
        }
    }
}
