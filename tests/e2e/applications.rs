//! The examples that are whole applications, on real Podman, as their files have them but for the name of the image.

use std::io::Result;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::busybox::{example, world};
use crate::world::World;

/// The body of what this machine is answered with 200; anything else is an error.
async fn fetch(port: u16, host: &str, path: &str) -> Result<String> {
    let asked = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Result::Ok(text)
    };
    let text = tokio::time::timeout(Duration::from_secs(10), asked).await??;
    // A script writes its head with bare line ends.
    match text.split_once("\r\n\r\n").or_else(|| text.split_once("\n\n")) {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") || head.starts_with("HTTP/1.0 200") => {
            Ok(body.to_owned())
        }
        _ => Err(std::io::Error::other(text)),
    }
}

async fn says(port: u16, path: &str, expected: &str) -> bool {
    fetch(port, "localhost", path).await.is_ok_and(|body| body.contains(expected))
}

/// The one pod with a label.
async fn pod(world: &World, label: &str) -> String {
    let pods = world.json(&["get", "pods", "-l", label]).await;
    pods.pointer("/items/0/metadata/name").and_then(Value::as_str).expect("a pod").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_book_finds_its_store_by_name_and_keeps_entries_while_its_web_servers_are_replaced() {
    let Some(world) = world("guestbook").await else { return };
    let file = world.file("guestbook.yaml", &example("guestbook/guestbook.yaml"));
    world
        .wl(&["plan", "-f", &file])
        .await
        .ends(2)
        .says(&["1 pod of deployment/store", "2 pods of deployment/guestbook"]);
    world.wl(&["apply", "-f", &file]).await.ends(0);
    let service = world.json(&["get", "svc", "guestbook"]).await;
    let port = service.pointer("/spec/ports/0/nodePort").and_then(Value::as_u64).expect("a node port");
    let port = u16::try_from(port).expect("a port");
    world.eventually("the page is there", || says(port, "/", "Guest book")).await;
    assert!(says(port, "/cgi-bin/sign?name=Ada", "stored").await);
    assert!(says(port, "/cgi-bin/sign?name=Grace", "stored").await);
    world.wl(&["rollout", "restart", "deploy/guestbook"]).await.ends(0);
    world.wl(&["rollout", "status", "deploy/guestbook"]).await.ends(0);
    let entries = fetch(port, "localhost", "/cgi-bin/list").await.expect("the entries");
    let names: Vec<&str> = entries.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, ["Ada", "Grace"], "{entries}");
    world.wl(&["apply", "-f", &file]).await.ends(0);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_and_its_database_keep_their_volumes_and_share_a_secret() {
    let Some(world) = world("wordpress").await else { return };
    let file = world.file("wordpress.yaml", &example("wordpress/wordpress.yaml"));
    world.wl(&["apply", "-f", &file]).await.ends(0);
    let port = 8100;
    world.eventually("the site answers", || says(port, "/cgi-bin/posts", "installed by wordpress-")).await;
    let shown = || async {
        let service = world.json(&["get", "svc", "wordpress"]).await;
        service.pointer("/status/loadBalancer/ingress/0/hostname").is_some_and(|host| host == "localhost")
    };
    world.eventually("the balancer's status says so", shown).await;
    let first = fetch(port, "localhost", "/cgi-bin/posts?hello").await.expect("posted");
    assert!(first.ends_with("\nhello\n"), "{first}");

    // Both are replaced; what they wrote is there.
    for tier in ["mysql", "frontend"] {
        let pod = pod(&world, &format!("tier={tier}")).await;
        world.wl(&["delete", "pod", &pod]).await.ends(0);
    }
    for deployment in ["wordpress-mysql", "wordpress"] {
        world.wl(&["rollout", "status", &format!("deploy/{deployment}")]).await.ends(0);
    }
    let again = || async { fetch(port, "localhost", "/cgi-bin/posts").await.is_ok_and(|text| text == first) };
    world.eventually("the same is shown", again).await;

    // Another password: the database takes the old one no more, as soon as both know it.
    let text = example("wordpress/wordpress.yaml").replace("change-me", "changed");
    world.file("wordpress.yaml", &text);
    world.wl(&["apply", "-f", &file]).await.ends(0);
    for deployment in ["wordpress-mysql", "wordpress"] {
        world.wl(&["rollout", "restart", &format!("deploy/{deployment}")]).await.ends(0);
        world.wl(&["rollout", "status", &format!("deploy/{deployment}")]).await.ends(0);
    }
    world.eventually("the same is shown", again).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_find_each_other_by_headless_names_and_the_lowest_leads() {
    let Some(world) = world("election").await else { return };
    let file = world.file("election.yaml", &example("election/election.yaml"));
    world.wl(&["apply", "-f", &file]).await.ends(0);
    let members = ["elect-0", "elect-1", "elect-2"];
    let leads = |member: &'static str, who: &'static [&'static str]| {
        let world = &world;
        move || async move {
            let mut all = Vec::new();
            for other in who {
                all.push(world.wl(&["exec", other, "--", "cat", "/tmp/www/leader"]).await.out.trim() == member);
            }
            all.iter().all(|says_so| *says_so)
        }
    };
    world.eventually("all say that elect-0 leads", leads("elect-0", &["elect-0", "elect-1", "elect-2"])).await;
    for member in members {
        world.wl(&["logs", member]).await.ends(0).says(&["elect-0 leads"]);
    }
    // One that is not ready is not found: the next one leads until it is back.
    let page = ["/tmp/www/index.html", "/tmp/www/away.html"];
    world.wl(&["exec", "elect-0", "--", "mv", page[0], page[1]]).await.ends(0);
    world.eventually("elect-1 leads", leads("elect-1", &["elect-1", "elect-2"])).await;
    world.wl(&["exec", "elect-0", "--", "mv", page[1], page[0]]).await.ends(0);
    world.eventually("elect-0 leads again", leads("elect-0", &["elect-0", "elect-1", "elect-2"])).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingress_serves_the_version_that_the_services_label_says() {
    let Some(world) = world("shop").await else { return };
    let text = example("ingress/shop.yaml");
    let file = world.file("shop.yaml", &text);
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    world.wl(&["apply", "-f", &file, "--ingress-http", &free.to_string()]).await.ends(0);
    let version = |wanted: &'static str| {
        move || async move { fetch(free, "shop.localhost", "/").await.is_ok_and(|body| body.starts_with(wanted)) }
    };
    world.eventually("version 1 is served", version("version 1 from shop-v1-")).await;
    assert!(fetch(free, "other.localhost", "/").await.is_err(), "another host is nobody's");
    let hosts: Vec<String> = vec![
        fetch(free, "shop.localhost", "/").await.expect("served"),
        fetch(free, "shop.localhost", "/").await.expect("served"),
    ];
    assert_ne!(hosts[0], hosts[1], "both pods have their turn");
    world.wl(&["set", "selector", "service", "shop", "app=shop,version=v2"]).await.ends(0);
    world.eventually("version 2 is served", version("version 2 from shop-v2-")).await;
    let ingress = || async {
        let ingress = world.json(&["get", "ingress", "shop"]).await;
        ingress.pointer("/status/loadBalancer/ingress/0/hostname").is_some_and(|host| host == "localhost")
    };
    world.eventually("its status has its address", ingress).await;
    world.wl(&["apply", "-f", &file]).await.ends(0);
    world.eventually("the file's version is served", version("version 1 from shop-v1-")).await;
    world.end().await;
}
