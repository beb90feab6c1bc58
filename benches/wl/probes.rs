//! Probes: what they cost, and how punctual they are.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::bare::Bare;
use crate::figures::{Row, Watch, quantile, time};
use crate::world::{IMAGE, World};
use crate::{Plan, machine};

const CONTAINERS_OF_A_POD: usize = 10;
/// How long probes are counted.
const WINDOW: Duration = Duration::from_secs(30);

/// A hundred containers with an HTTP probe a second.
pub async fn http(world: &World, plan: &Plan) {
    let pods = plan.scaled(100) / CONTAINERS_OF_A_POD;
    let arrivals = world.folder("arrivals");
    let container = |pod: usize, n: usize| {
        format!(
            "  - name: c{n}\n    image: {IMAGE}\n    command: [/program, \"on-term:0\", \"http:{port}=/out/{pod}-{n}\"]\n    volumeMounts: \
             [{{name: out, mountPath: /out}}]\n    readinessProbe: {{httpGet: {{port: {port}}}, periodSeconds: 1}}\n",
            port = 8000 + n
        )
    };
    let volumes = format!("  volumes: [{{name: out, hostPath: {{path: {arrivals}}}}}]\n");
    let file = world.file("http.yaml", &manifest("http", pods, &container, &volumes));
    let (pid, _) = world.watch();
    world.wl(&["apply", "-f", &file], &[0]);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (from, before) = (machine::micros(), machine::tree_seconds(pid));
    tokio::time::sleep(WINDOW).await;
    let (to, used) = (machine::micros(), machine::tree_seconds(pid) - before);
    let mut late = Vec::new();
    let mut count = 0.0;
    for entry in std::fs::read_dir(&arrivals).expect("a folder").flatten() {
        let text = std::fs::read_to_string(entry.path()).expect("arrivals");
        let at: Vec<f64> =
            text.lines().filter_map(|l| l.parse::<f64>().ok()).filter(|t| (from..to).contains(t)).collect();
        count += at.iter().map(|_| 1.0).sum::<f64>();
        late.extend(lateness(&at));
    }
    world.wl(&["delete", "-f", &file], &[0]);
    let each = used / count * 1e3;
    Row::alone("an HTTP probe a second, 100 containers: CPU of one, in ms", format!("{each:.2} ms"), each, 1.0).print();
    let (p50, p99) = (quantile(&late, 0.5), quantile(&late, 0.99));
    let shown = format!("p50 {}, p99 {}", time(p50), time(p99));
    Row::alone("how late they are, p99 in ms", shown, p99 * 1e3, 50.0).print();
}

/// How long after its second each came, in seconds: the seconds begin where none comes early.
fn lateness(at: &[f64]) -> Vec<f64> {
    let offsets: Vec<f64> = at
        .iter()
        .scan(0.0, |n, t| {
            *n += 1.0;
            Some(t / 1e6 - *n)
        })
        .collect();
    let begin = offsets.iter().copied().fold(f64::INFINITY, f64::min);
    offsets.iter().map(|o| o - begin).collect()
}

fn manifest(prefix: &str, pods: usize, container: &dyn Fn(usize, usize) -> String, rest: &str) -> String {
    let pod = |pod: usize| {
        let containers: String = (0..CONTAINERS_OF_A_POD).map(|n| container(pod, n)).collect();
        let head = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {prefix}-{pod}}}\nspec:\n  terminationGracePeriodSeconds: 5\n"
        );
        format!("{head}  containers:\n{containers}{rest}")
    };
    (0..pods).map(pod).collect::<Vec<_>>().join("---\n")
}

/// Fifty exec probes a second: CPU of one with all that it causes, beside the exec calls of the API and the OCI runtime alone.
pub async fn exec(world: &World, bare: &Bare, plan: &Plan) {
    if machine::cgroup_seconds().is_none() {
        println!("(exec probes are left out: nothing here tells their CPU from that of others)");
        return;
    }
    let pods = (plan.scaled(50) / CONTAINERS_OF_A_POD).max(1);
    let container = |_: usize, n: usize| {
        format!(
            "  - name: c{n}\n    image: {IMAGE}\n    command: [/program, \"on-term:0\", forever]\n    readinessProbe: \
             {{exec: {{command: [/program, \"exit:0\"]}}, periodSeconds: 1, timeoutSeconds: 5}}\n"
        )
    };
    let file = world.file("exec.yaml", &manifest("exec", pods, &container, ""));
    world.watch();
    world.wl(&["apply", "-f", &file], &[0]);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let watch = Watch::start();
    tokio::time::sleep(WINDOW).await;
    #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
    let probes = (pods * CONTAINERS_OF_A_POD) as f64 * WINDOW.as_secs_f64();
    let each = watch.stop().cpu.unwrap_or(f64::NAN) / probes;
    world.wl(&["delete", "-f", &file], &[0]);
    let names = vec!["exec-bare".to_owned()];
    bare.make_network().await;
    bare.up(&names, IMAGE, 1).await;
    let calls = 50;
    let watch = Watch::start();
    for _ in 0..calls {
        exec_call(bare, "exec-bare-app").await;
    }
    // Podman cleans up behind each of them, `exit_command_delay` later (benches/run.sh has set it to two seconds).
    tokio::time::sleep(Duration::from_secs(6)).await;
    let api = watch.stop().cpu.unwrap_or(f64::NAN) / f64::from(calls);
    let inspected = bare.get("/containers/exec-bare-app/json").await;
    let runtime = crun_call(&inspected, calls);
    bare.down(&names, 1).await;
    bare.remove_network().await;
    let row = |name: &str, beside: &str, theirs: f64, at_most: f64| Row {
        name: name.to_owned(),
        ours: format!("{} CPU", time(each)),
        beside: format!("{} CPU ({beside})", time(theirs)),
        ratio: each / theirs,
        cpu: None,
        at_most,
        runs: 1,
    };
    row("exec probes, 50 a second", "the API's exec calls", api, 0.2).print();
    if let Some(theirs) = runtime {
        row("the same", "`crun exec`", theirs, 1.2).print();
    }
}

async fn exec_call(bare: &Bare, container: &str) {
    let spec = serde_json::json!({"Cmd": ["/program", "exit:0"], "AttachStdout": true});
    let made = bare.post(&format!("/containers/{container}/exec"), spec).await;
    let id = made["Id"].as_str().unwrap_or_default().to_owned();
    bare.post(&format!("/exec/{id}/start"), serde_json::json!({"Detach": false})).await;
    bare.get(&format!("/exec/{id}/json")).await;
}

/// The same by the OCI runtime; `None` where it is not crun.
fn crun_call(inspected: &Value, calls: i32) -> Option<f64> {
    let id = inspected["Id"].as_str()?;
    let path = inspected["OCIRuntime"].as_str().filter(|runtime| runtime.contains("crun"))?;
    let watch = Watch::start();
    for _ in 0..calls {
        let status = Command::new(path).args(["exec", id, "/program", "exit:0"]).status().ok()?;
        if !status.success() {
            return None;
        }
    }
    Some(watch.stop().cpu? / f64::from(calls))
}
