//! Pods that store more than they may are ended, and say so.

use crate::world::{IMAGES, World};

fn pod(name: &str, does: &str, limits: &str, volume: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  containers:\n  - name: app\n    image: {}\n    \
         args: [\"/program\", \"on-term:9\", {does}, \"forever\"]\n    resources: {{limits: {limits}}}\n    \
         volumeMounts: [{{name: v, mountPath: /v}}]\n  volumes: [{{name: v, emptyDir: {volume}}}]\n---\n",
        IMAGES[0]
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stores_more_than_it_may_is_ended_and_says_so() {
    let Some(world) = World::new("eviction").await else { return };
    let writes = r#""write:/v/a=1", "write:/v/b=1", "write:/v/c=1""#;
    let manifest = [
        pod("volume", writes, "{}", "{sizeLimit: 4Ki}"),
        pod("logs", r#""flood:5000""#, "{ephemeral-storage: 64Ki}", "{}"),
        pod("modest", writes, "{ephemeral-storage: 1Gi}", "{sizeLimit: 1Mi}"),
    ]
    .concat();
    let file = world.file("pods.yaml", &manifest);
    world.wl(&["apply", "--wait=false", "-f", &file]).await.ends(0);
    let expected = [
        ("volume", "Usage of EmptyDir volume \"v\" exceeds the limit \"4Ki\". "),
        ("logs", "Pod ephemeral local storage usage exceeds the total limit of containers 64Ki. "),
    ];
    for (name, message) in expected {
        let evicted = || async {
            let status = world.json(&["get", "pod", name]).await["status"].clone();
            status["phase"] == "Failed" && status["reason"] == "Evicted" && status["message"] == message
        };
        world.eventually("it is evicted", evicted).await;
        let told = world.wl(&["events", "--for", &format!("pod/{name}")]).await.ends(0).out;
        assert!(told.contains("Evicted") && told.contains(message.trim_end()), "{told}");
    }
    assert_eq!(world.json(&["get", "pod", "modest"]).await["status"]["phase"], "Running");
    world.end().await;
}
