//! Reaching into pods: exec, attach, port-forward, cp.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use wl::cli::session::raw::RawMode;

use crate::terminal::{Terminal, told};
use crate::world::{IMAGES, Run, World};

/// A pod with tools, and beside them a program that answers on a port.
fn manifest() -> String {
    let text = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: box}
spec:
  replicas: 1
  selector: {matchLabels: {app: box}}
  template:
    metadata: {labels: {app: box}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: box
        image: localhost/wl-toolbox:1
        command: ["sleep", "100000"]
        workingDir: /tmp
        env: [{name: GREETING, value: hello}]
      - name: web
        image: IMAGE
        args: ["/program", "on-term:0", "listen:8080"]
"#;
    text.replace("IMAGE", IMAGES[0])
}

async fn world(name: &str) -> Option<World> {
    let world = World::new(name).await?;
    let file = world.file("box.yaml", &manifest());
    world.wl(&["apply", "-f", &file]).await.ends(0);
    Some(world)
}

async fn pod(world: &World) -> String {
    let pods = world.json(&["get", "pods", "-l", "app=box"]).await;
    let items = pods["items"].as_array().expect("a list");
    let alive = items.iter().find(|p| p["metadata"].get("deletionTimestamp").is_none()).expect("a pod");
    alive["metadata"]["name"].as_str().expect("a name").to_owned()
}

async fn with_input(world: &World, args: &[&str], input: Vec<u8>) -> Run {
    let mut command = world.command(args);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("started");
    let mut stdin = child.stdin.take().expect("a pipe");
    let writing = tokio::spawn(async move { stdin.write_all(&input).await });
    let output = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output()).await.expect("ends");
    // A command that has ended takes no more.
    let _ = writing.await;
    Run::of(&output.expect("waited for"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_in_a_container_has_its_streams_its_place_and_its_exit_code() {
    let Some(world) = world("exec").await else { return };
    let run = world.wl(&["exec", "deploy/box", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]).await.ends(7);
    assert_eq!(run.out, "out\n");
    run.says(&["Defaulted container \"box\" out of: box, web", "err\n", "command terminated with exit code 7"]);
    let pod = pod(&world).await;
    let exec = |more: &[&'static str]| [&["exec", pod.as_str(), "-c", "box"][..], more].concat();
    let run = world.wl(&exec(&["--", "sh", "-c", "pwd; echo $GREETING; id -u"])).await.ends(0);
    assert_eq!(run.out, "/tmp\nhello\n0\n");
    let status = "sed -n -e /NoNewPrivs/p -e /^Cap/p -e /^Seccomp:/p -e /^Groups/p";
    let compare =
        format!("a=$({status} /proc/self/status); b=$({status} /proc/1/status); [ \"$a\" = \"$b\" ] && echo same");
    let run = world.wl(&["exec", &pod, "-c", "box", "--", "sh", "-c", &compare]).await.ends(0);
    assert_eq!(run.out, "same\n", "confined exactly as the container is");
    let text: Vec<u8> = (0..300_000).flat_map(|n| format!("{n}\n").into_bytes()).collect();
    let run = with_input(&world, &exec(&["-i", "--", "cat"]), text.clone()).await.ends(0);
    assert!(run.out.as_bytes() == text, "{} bytes of {}", run.out.len(), text.len());
    let run = with_input(&world, &exec(&["-i", "--", "head", "-c", "5"]), text).await.ends(0);
    assert_eq!(run.out, "0\n1\n2");
    world.wl(&exec(&["--", "nosuch"])).await.ends(127).says(&["`nosuch` not found", "exit code 127"]);
    world.wl(&exec(&["--", "/tmp"])).await.ends(126);
    world.wl(&exec(&["--", "sh", "-c", "kill -9 $$"])).await.ends(137);
    let run = world.wl(&exec(&["--", "sh", "-c", "sleep 4711 & echo begun"])).await.ends(0);
    assert_eq!(run.out, "begun\n", "what it leaves running does not hold it");

    let mut command = world.command(&exec(&["--", "sh", "-c", "echo begun; exec sleep 4712"]));
    let mut child = command.spawn().expect("started");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).await.expect("a line");
    let count = exec(&["--", "sh", "-c", "pgrep -f '^sleep 471[2]' | wc -l"]);
    assert_eq!(world.wl(&count).await.ends(0).out.trim(), "1");
    let id = rustix::process::Pid::from_raw(i32::try_from(child.id().expect("alive")).expect("an id")).expect("an id");
    rustix::process::kill_process(id, rustix::process::Signal::INT).expect("told to end");
    assert_eq!(child.wait().await.expect("ends").code(), Some(130));
    world
        .eventually("the command ends with its client", || async { world.wl(&count).await.ends(0).out.trim() == "0" })
        .await;
    world
        .wl(&["exec", &pod, "-c", "nosuch", "--", "true"])
        .await
        .ends(1)
        .says(&["container nosuch is not valid for pod"]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_is_raw_has_a_size_and_is_given_back() {
    let Some(world) = world("terminal").await else { return };
    let state = world.state();
    let start = |command: &[&str]| {
        let args = [&["exec", "-it", "deploy/box", "-c", "box", "--"][..], command].concat();
        Terminal::start(env!("CARGO_BIN_EXE_wl"), &args, |c| {
            c.env("WL_STATE_DIR", &state);
        })
    };
    let mut terminal = start(&["sh", "-c", "read go; tty; stty size; echo at:$go; exec sh"]);
    let before = told(&terminal.settings());
    terminal.types("begin\r");
    terminal.shows("24 80");
    terminal.shows("at:begin");
    assert_ne!(told(&terminal.settings()), before, "keys go to the container, one by one");
    terminal.types("echo term:$TERM\r");
    terminal.shows("term:xterm");
    terminal.becomes(120, 40);
    terminal.types("sleep 0.3; stty size\r");
    terminal.shows("40 120");
    terminal.types("sleep 1000\r");
    std::thread::sleep(Duration::from_millis(300));
    terminal.types("\u{3}echo inter''rupted\r");
    terminal.shows("interrupted");
    terminal.types("exit 9\r");
    assert_eq!(terminal.ends().code(), Some(9));
    assert_eq!(told(&terminal.settings()), before, "the terminal is as it was");

    let mut terminal = start(&["sh"]);
    let before = told(&terminal.settings());
    terminal.types("echo be''gun\r");
    terminal.shows("begun");
    rustix::process::kill_process(terminal.pid(), rustix::process::Signal::TERM).expect("told to end");
    assert_eq!(terminal.ends().code(), Some(143));
    assert_eq!(told(&terminal.settings()), before, "after SIGTERM too");

    let mut terminal = start(&["nosuch"]);
    terminal.shows("not found");
    assert_eq!(terminal.ends().code(), Some(127));
    world.end().await;
}

#[test]
fn a_panic_gives_the_terminal_back_before_it_says_why() {
    let program = std::env::current_exe().expect("a program");
    let child = ["--exact", "sessions::panics_on_a_terminal", "--ignored", "--nocapture"];
    let mut terminal = Terminal::start(&program.to_string_lossy(), &child, |_| {});
    terminal.shows("begins");
    let before = told(&terminal.settings());
    terminal.types("go\r");
    terminal.shows("raw");
    assert_ne!(told(&terminal.settings()), before);
    terminal.types("x");
    // A line that ends as a terminal that is not raw ends it.
    terminal.shows("as it was told to\r\n");
    assert_eq!(told(&terminal.settings()), before, "though nothing has been dropped");
}

#[test]
#[ignore = "another test starts it, on a terminal"]
fn panics_on_a_terminal() {
    let read = |bytes: &mut [u8]| std::io::Read::read(&mut std::io::stdin(), bytes).expect("typed");
    println!("begins");
    read(&mut [0; 16]);
    let _raw = RawMode::enter().expect("a terminal");
    println!("raw");
    read(&mut [0; 1]);
    // On another thread, so that the guard stays: where a panic ends the process, nothing is dropped.
    let ended = std::thread::spawn(|| panic!("as it was told to")).join();
    assert!(ended.is_err());
    read(&mut [0; 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_attaches_talks_to_the_process_itself() {
    let Some(world) = World::new("attach").await else { return };
    let manifest = r#"
apiVersion: v1
kind: Pod
metadata: {name: echo}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers:
  - {name: pipe, image: "localhost/wl-toolbox:1", stdin: true, command: [sh, -c, "while read line; do echo got:$line; [ $line = end ] && exit 3; done"]}
  - {name: shell, image: "localhost/wl-toolbox:1", stdin: true, tty: true, command: [sh]}
"#;
    let file = world.file("echo.yaml", manifest);
    world.wl(&["apply", "-f", &file, "--wait=false"]).await.ends(0);
    let ready = || async { world.json(&["get", "pod", "echo"]).await["status"]["phase"] == "Running" };
    world.eventually("it runs", ready).await;
    let state = world.state();
    let mut terminal = Terminal::start(env!("CARGO_BIN_EXE_wl"), &["attach", "-it", "echo", "-c", "shell"], |c| {
        c.env("WL_STATE_DIR", &state);
    });
    let before = told(&terminal.settings());
    terminal.shows("try pressing enter");
    terminal.types("stty size; echo he''re\r");
    terminal.shows("here");
    terminal.types("\u{10}\u{11}");
    terminal.shows("Session ended, resume using 'wl attach echo -c shell -n default -i -t' command");
    assert_eq!(terminal.ends().code(), Some(0));
    assert_eq!(told(&terminal.settings()), before);
    let run = with_input(&world, &["attach", "-i", "echo", "-c", "pipe", "-q"], b"one\nend\n".to_vec()).await.ends(0);
    assert_eq!(run.out, "got:one\ngot:end\n");
    let exited = || async {
        let pod = world.json(&["get", "pod", "echo"]).await;
        pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3
    };
    world.eventually("the process has read its end", exited).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_once_has_its_streams_and_its_exit_code_and_goes_when_asked_to() {
    let Some(world) = World::new("run").await else { return };
    let args = |name: &'static str, more: &[&'static str]| {
        [&["run", name, "--image=localhost/wl-toolbox:1", "--restart=Never"], more].concat()
    };
    let command = args("sum", &["-i", "--rm", "--", "sh", "-c", "cat; echo err >&2; exit 4"]);
    let run = with_input(&world, &command, b"one\ntwo\n".to_vec()).await.ends(4);
    assert_eq!(run.out, "one\ntwo\nerr\npod \"sum\" deleted from default namespace\n");
    run.says(&["pod default/sum terminated (Error)"]);
    let gone = || async { world.wl(&["get", "pod", "sum"]).await.code == Some(1) };
    world.eventually("it is gone", gone).await;

    let run = world.wl(&args("say", &["--attach", "-q", "--", "echo", "hello"])).await.ends(0);
    assert_eq!(run.out, "hello\n");
    assert_eq!(world.json(&["get", "pod", "say"]).await["status"]["phase"], "Succeeded", "it stays");

    let state = world.state();
    let start = |name: &'static str| {
        Terminal::start(env!("CARGO_BIN_EXE_wl"), &args(name, &["-it", "--rm", "--", "sh"]), |c| {
            c.env("WL_STATE_DIR", &state);
        })
    };
    let mut terminal = start("shell");
    let before = told(&terminal.settings());
    terminal.shows("try pressing enter");
    terminal.types("stty size; echo he''re\r");
    terminal.shows("here");
    terminal.types("exit 5\r");
    terminal.shows("pod \"shell\" deleted from default namespace");
    assert_eq!(terminal.ends().code(), Some(5));
    assert_eq!(told(&terminal.settings()), before);

    let mut terminal = start("left");
    terminal.shows("try pressing enter");
    terminal.types("echo he''re\r");
    terminal.shows("here");
    terminal.types("\u{10}\u{11}");
    terminal.shows("pod \"left\" stays");
    assert_eq!(terminal.ends().code(), Some(0));
    assert_eq!(world.json(&["get", "pod", "left"]).await["status"]["phase"], "Running");

    let missing = ["run", "missing", "--image=localhost/nosuch:1", "-i", "--rm", "--pod-running-timeout=3s"];
    let run = world.wl(&missing).await.ends(1);
    assert_eq!(run.out, "pod \"missing\" deleted from default namespace\n");
    run.says(&["localhost/nosuch:1", "timed out waiting for the condition"]);
    world.end().await;
}

async fn answer(port: u16) -> Option<String> {
    let mut text = String::new();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    stream.read_to_string(&mut text).await.ok()?;
    Some(text).filter(|t| !t.is_empty())
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarded_ports_outlive_their_pod() {
    let Some(world) = world("forward").await else { return };
    let mut command = world.command(&["port-forward", "deploy/box", ":8080", ":8080", ":9", "--address", "127.0.0.1"]);
    let mut child = command.spawn().expect("started");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut ports = Vec::new();
    for remote in ["8080", "8080", "9"] {
        let line = lines.next_line().await.expect("read").expect("a line");
        let (from, to) = line.strip_prefix("Forwarding from 127.0.0.1:").expect(&line).split_once(" -> ").expect(&line);
        assert_eq!(to, remote);
        ports.push(from.parse::<u16>().expect("a port"));
    }
    for port in &ports[..2] {
        assert_eq!(answer(*port).await.as_deref(), Some("hello\n"));
    }
    assert_eq!(answer(ports[2]).await, None, "nobody listens there");
    world.wl(&["delete", "pod", "-l", "app=box"]).await.ends(0);
    world.eventually("the next pod answers", || async { answer(ports[0]).await.as_deref() == Some("hello\n") }).await;
    let id = rustix::process::Pid::from_raw(i32::try_from(child.id().expect("alive")).expect("an id")).expect("an id");
    rustix::process::kill_process(id, rustix::process::Signal::INT).expect("told to end");
    let mut errors = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut errors).await.expect("read");
    assert!(child.wait().await.expect("ends").success());
    assert!(errors.contains("-> 9: error forwarding port 9 to pod"), "{errors}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_go_into_a_container_and_come_back() {
    let Some(world) = world("copy").await else { return };
    let pod = pod(&world).await;
    let tree = world.path("tree");
    std::fs::create_dir_all(tree.join("deep/er")).expect("made");
    std::fs::create_dir_all(tree.join("empty")).expect("made");
    let big: Vec<u8> = (0..2_000_000u32).flat_map(u32::to_le_bytes).collect();
    let long = format!("deep/er/{}", "n".repeat(150));
    for (name, content) in [("a b", b"one".as_slice()), ("deep/er/big", &big), (&long, b"long")] {
        std::fs::write(tree.join(name), content).expect("written");
    }
    std::fs::set_permissions(tree.join("a b"), std::fs::Permissions::from_mode(0o750)).expect("set");
    std::os::unix::fs::symlink("a b", tree.join("link")).expect("linked");
    let from = tree.to_string_lossy().into_owned();
    world.wl(&["cp", &from, &format!("{pod}:/tmp/copy"), "-c", "box"]).await.ends(0);
    let run = world
        .wl(&["exec", &pod, "-c", "box", "--", "sh", "-c", "stat -c %a '/tmp/copy/a b'; readlink /tmp/copy/link"])
        .await;
    assert_eq!(run.ends(0).out, "750\na b\n");
    // Once more: now it is a folder that is there, and gets the tree by its name.
    world.wl(&["cp", &from, &format!("default/{pod}:/tmp/copy"), "-c", "box"]).await.ends(0);
    world.wl(&["exec", &pod, "-c", "box", "--", "test", "-d", "/tmp/copy/tree/empty"]).await.ends(0);
    let back = world.path("back").to_string_lossy().into_owned();
    let run = world.wl(&["cp", &format!("{pod}:/tmp/copy/tree"), &back, "-c", "box"]).await.ends(0);
    run.says(&["warning: skipping symlink"]);
    let read = |name: &str| std::fs::read(world.path("back").join(name)).expect(name);
    assert!(read("deep/er/big") == big && read("a b") == b"one" && read(&long) == b"long");
    assert!(world.path("back/empty").is_dir() && !world.path("back/link").exists());
    let one = world.path("one").to_string_lossy().into_owned();
    world.wl(&["cp", &format!("{pod}:/tmp/copy/a b"), &one, "-c", "box"]).await.ends(0);
    assert_eq!(std::fs::read(&one).expect("a file"), b"one");
    world.wl(&["cp", &format!("{pod}:/nosuch"), &one, "-c", "box"]).await.ends(2).says(&["No such file"]);
    world.wl(&["cp", &one, &format!("{pod}:/x"), "-c", "web"]).await.ends(127).says(&["the container has no tar"]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_debug_container_sees_a_pod_that_has_no_tools() {
    let Some(world) = World::new("debug").await else { return };
    let manifest = r#"
apiVersion: v1
kind: Pod
metadata: {name: bare}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: app
    image: IMAGE
    args: ["/program", "on-term:0", "listen:8080"]
    env: [{name: GREETING, value: hello}]
    volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, emptyDir: {}}]
"#;
    let file = world.file("bare.yaml", &manifest.replace("IMAGE", IMAGES[0]));
    world.wl(&["apply", "-f", &file]).await.ends(0);
    world.wl(&["debug", "bare"]).await.ends(1).says(&["error: you must specify --image when not using --copy-to."]);
    let script = "echo $GREETING; ls -d /data; tr '\\0' ' ' < /proc/1/cmdline; echo; ls /proc/1/root/program";
    let run = world.wl(&["debug", "bare", "-i", "-q", "--", "sh", "-c", script]).await.ends(0);
    let lines: Vec<&str> = run.out.lines().collect();
    assert_eq!(lines, ["hello", "/data", "/program on-term:0 listen:8080 ", "/proc/1/root/program"], "{}", run.err);
    let pod = world.json(&["get", "pod", "bare"]).await;
    let status = &pod["status"]["ephemeralContainerStatuses"][0];
    assert_eq!(
        (&status["state"]["terminated"]["exitCode"], &status["restartCount"]),
        (&0.into(), &0.into()),
        "{status}"
    );
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0, "the pod went on");

    let state = world.state();
    let args = [
        "debug",
        "bare",
        "-it",
        "-c",
        "shell",
        "--target",
        "app",
        "--no-volumes",
        "--profile",
        "netadmin",
        "--env",
        "A=b",
    ];
    let mut terminal =
        Terminal::start(env!("CARGO_BIN_EXE_wl"), &[&args[..], &["--image", "localhost/wl-toolbox:1"]].concat(), |c| {
            c.env("WL_STATE_DIR", &state);
        });
    terminal.shows("If you don't see a command prompt");
    terminal.types("echo $A:$GREETING:; ls /data; exec 3<>/dev/tcp/127.0.0.1/8080; cat <&3\r");
    terminal.shows("b::");
    terminal.shows("hello");
    terminal.types("exit\r");
    terminal
        .shows("the ephemeral container will not be restarted but may be reattached using 'wl attach bare -c shell");
    assert_eq!(terminal.ends().code(), Some(0));

    let run = world
        .wl(&[
            "debug",
            "bare",
            "--copy-to",
            "copy",
            "--image",
            "localhost/wl-toolbox:1",
            "-c",
            "tools",
            "--",
            "sleep",
            "1000",
        ])
        .await;
    run.ends(0);
    let up = || async { world.json(&["get", "pod", "copy"]).await["status"]["phase"] == "Running" };
    world.eventually("the copy runs", up).await;
    let run =
        world.wl(&["exec", "copy", "-c", "tools", "--", "sh", "-c", "pgrep -f '^/program' | wc -l"]).await.ends(0);
    assert_eq!(run.out.trim(), "1", "the copy shares its processes");
    let node = world.json(&["get", "nodes"]).await["items"][0]["metadata"]["name"].as_str().expect("a node").to_owned();
    let run = world.wl(&["debug", &format!("node/{node}"), "--", "true"]).await.ends(1);
    run.says(&["nobody can be asked here: say --yes"]);
    let run =
        world.wl(&["debug", &format!("node/{node}"), "-y", "-q", "-i", "--", "ls", "-d", "/host/proc/1"]).await.ends(0);
    assert_eq!(run.out, "/host/proc/1\n", "{}", run.err);
    world.end().await;
}
