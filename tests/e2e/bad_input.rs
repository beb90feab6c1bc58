//! Manifests that are too large, too many, too deep, or not what they seem.

use std::fmt::Write as _;
use std::time::Duration;

use tokio::time::Instant;

use crate::world::World;

fn map(name: &str, data: &str) -> String {
    format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {data}\n")
}

/// A bare API server: nothing here needs a pod.
async fn server(name: &str) -> Option<World> {
    let world = World::new(name).await?;
    world.wl(&["watch", "--background", "--no-node", "--no-controllers"]).await.ends(0);
    Some(world)
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_megabytes_and_a_map_of_one_mebibyte_are_kept_and_more_is_refused() {
    let Some(world) = server("large").await else { return };
    // What a map may hold at most, keys not counted; eleven of them are over ten megabytes.
    let most = 1 << 20;
    let value = "x".repeat(most);
    let file = world.file(
        "large.yaml",
        &(0..11).fold(String::new(), |text, i| text + &map(&format!("m{i}"), &format!("{{a: {value}}}"))),
    );
    assert!(std::fs::metadata(&file).expect("a file").len() > 10 << 20);
    let begun = Instant::now();
    world.wl(&["apply", "-f", &file]).await.ends(0).says(&["configmap/m0 created", "configmap/m10 created"]);
    println!("11 MB after {:?}", begun.elapsed());
    let kept = world.json(&["get", "configmap", "m10"]).await;
    assert_eq!(kept["data"]["a"].as_str().map(str::len), Some(most));

    let file = world.file("over.yaml", &(map("fits", "{a: b}") + &map("over", &format!("{{a: {value}x}}"))));
    let refused = world.wl(&["apply", "-f", &file]).await.ends(1);
    refused.says(&["1048576", "over.yaml", "nothing was applied"]);
    world.wl(&["get", "configmap", "fits"]).await.ends(1);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_documents_are_applied_and_their_faults_told_together() {
    let Some(world) = server("many").await else { return };
    let count = 10_000;
    let mut text = String::new();
    for i in 0..count {
        let _ = write!(text, "{}", map(&format!("m{i}"), "{a: b}"));
    }
    let file = world.file("many.yaml", &text);
    let begun = Instant::now();
    world.wl(&["apply", "-f", &file]).await.ends(0).says(&["configmap/m9999 created"]);
    println!("{count} documents after {:?}", begun.elapsed());
    let kept = world.json(&["get", "configmaps"]).await;
    assert!(kept["items"].as_array().is_some_and(|items| items.len() >= count));

    let broken = text.replace("{a: b}", "{a: 1}");
    let file = world.file("broken.yaml", &broken);
    world.wl(&["apply", "-f", &file]).await.ends(1).says(&["10000 errors", "nothing was applied"]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aliases_that_multiply_and_depth_without_end_are_refused_in_no_time() {
    let Some(world) = server("deep").await else { return };
    let mut bomb = String::from(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bomb}\ndata:\n  a0: &a0 [x, x, x, x, x, x, x, x, x]\n",
    );
    for i in 1..30 {
        let last = format!("*a{}", i - 1);
        let _ = writeln!(bomb, "  a{i}: &a{i} [{}]", [last.as_str(); 9].join(", "));
    }
    let deep = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: deep}}\ndata: {}{}\n",
        "[".repeat(200_000),
        "]".repeat(200_000)
    );
    let json = format!(
        "{{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"data\": {}{}}}",
        "{\"a\":".repeat(200_000),
        "}".repeat(200_000)
    );
    let cycle = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cycle}\ndata: &d {a: *d}\n".to_owned();
    for (name, text) in [("bomb.yaml", bomb), ("deep.yaml", deep), ("deep.json", json), ("cycle.yaml", cycle)] {
        let file = world.file(name, &text);
        let begun = Instant::now();
        let refused = world.wl(&["apply", "-f", &file]).await.ends(1);
        assert!(
            refused.err.contains(name) && refused.err.len() < 100_000,
            "{}",
            refused.err.chars().take(2000).collect::<String>()
        );
        assert!(begun.elapsed() < Duration::from_secs(20), "{name} took {:?}", begun.elapsed());
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_lead_nowhere_and_steer_no_terminal() {
    let Some(world) = server("names").await else { return };
    let outside = world.path("outside");
    for name in ["../../outside", "a/b", "/etc/passwd", "a\\0b", "\\e[31mred", ".", "..", "A", "a\\nb", "%2e%2e"] {
        let file = world.file("name.yaml", &map(&format!("\"{name}\""), "{a: b}"));
        let refused = world.wl(&["apply", "-f", &file]).await.ends(1);
        assert!(refused.err.contains("name.yaml"), "{name}: {}", refused.err);
        assert!(
            !refused.err.contains(['\u{1b}', '\0']) && !refused.out.contains(['\u{1b}', '\0']),
            "{name}: {:?}",
            refused.err
        );
        let key = world.file("key.yaml", &map("fine", &format!("{{\"{name}\": b}}")));
        if name != "A" && name != "." {
            world.wl(&["apply", "-f", &key]).await.ends(1);
        }
    }
    for name in ["../../outside", "a/b/c", "..%2f..", "\u{1b}[31m"] {
        for args in [["get", "pod", name], ["delete", "pod", name], ["logs", name, "--tail=1"]] {
            let refused = world.wl(&args).await.ends(1);
            assert!(!refused.err.contains('\u{1b}'), "{args:?}: {:?}", refused.err);
        }
    }
    assert!(!outside.exists());
    // Values may hold anything; what is printed for a person does not steer a terminal.
    let file = world.file("value.yaml", &map("value", "{a: \"\\e]0;title\\a\"}"));
    world.wl(&["apply", "-f", &file]).await.ends(0);
    let kept = world.json(&["get", "configmap", "value"]).await;
    assert_eq!(kept["data"]["a"], "\u{1b}]0;title\u{7}");
    world.end().await;
}
