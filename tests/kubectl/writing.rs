//! What writes and was not recorded: editors, apply sets.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::server::Fixture;
use crate::{Outcome, Session, lines};

fn fixture(name: &str) -> Fixture {
    let all: BTreeMap<String, Fixture> = lines("fixtures").iter().map(Fixture::load).collect();
    all.into_iter().find(|(own, _)| own == name).unwrap().1
}

fn session(argv: &[&str], editor: &str, files: Value) -> Session {
    Session(json!({"id": "", "argv": argv, "env": {"KUBE_EDITOR": editor}, "files": files, "mutates": true, "exit": 0}))
}

async fn edit(editor: &str, files: Value) -> Outcome {
    session(&["edit", "deploy/web"], editor, files).run(&fixture("apps")).await
}

#[tokio::test(start_paused = true)]
async fn edit_sends_what_the_editor_changed() {
    let outcome = edit("sed -i s/nginx:1.26/nginx:9/", json!({})).await;
    assert_eq!((outcome.exit, outcome.stdout.as_str()), (0, "deployment.apps/web edited\n"), "{outcome:?}");
    let image = outcome.after.pointer("/0/object/spec/template/spec/containers/0/image").unwrap();
    assert_eq!((outcome.after.as_array().unwrap().len(), image), (1, &json!("nginx:9")));
}

#[tokio::test(start_paused = true)]
async fn edit_without_a_change_sends_nothing() {
    let outcome = edit("true", json!({})).await;
    assert_eq!((outcome.exit, outcome.stderr.as_str()), (0, "Edit cancelled, no changes made.\n"));
    assert_eq!(outcome.after, json!([]));
}

#[tokio::test(start_paused = true)]
async fn edit_opens_again_with_what_was_refused() {
    let script = "if grep -q '# [*] spec.replicas: Invalid value' $1\nthen sed -i 's/replicas: -1/replicas: 4/' $1\n\
                  else sed -i 's/^  replicas: 3/  replicas: -1/' $1; fi\n";
    let outcome = edit("sh edit.sh", json!({"edit.sh": script})).await;
    assert_eq!((outcome.exit, outcome.stdout.as_str()), (0, "deployment.apps/web edited\n"), "{outcome:?}");
    assert_eq!(outcome.stderr, "error: deployments.apps \"web\" is invalid\n");
    assert_eq!(outcome.after.pointer("/0/object/spec/replicas"), Some(&json!(4)));
}

#[tokio::test(start_paused = true)]
async fn edit_says_that_the_editor_failed() {
    let outcome = edit("false", json!({})).await;
    assert_eq!((outcome.exit, outcome.stderr.as_str()), (1, "error: there was a problem with the editor \"false\"\n"));
    assert_eq!(outcome.after, json!([]));
}

#[tokio::test(start_paused = true)]
async fn all_that_is_wrong_in_a_manifest_is_told_at_once_with_its_place() {
    let pod =
        "apiVersion: v1\nkind: Pod\nmetadata: {name: A}\nspec:\n  containers:\n  - {name: c, imagee: x}\n  nosuch: 1\n";
    let deployment = "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: w}\nspec: {replicas: three}\n";
    for argv in [["apply", "-f", "a.yaml"], ["plan", "-f", "a.yaml"], ["lint", "-f", "a.yaml"]] {
        let outcome = session(&argv, "", json!({"a.yaml": format!("{pod}{deployment}")})).run(&fixture("empty")).await;
        assert_eq!((outcome.exit, &outcome.after), (1, &json!([])), "{outcome:?}");
        let told = [
            "imagee is no field",
            "did you mean image?",
            "spec.nosuch is no field",
            "expected a whole number, found a string",
        ];
        for text in told.into_iter().chain(["a.yaml:12:18"]) {
            assert!(outcome.stderr.contains(text), "{argv:?}: {text}\n{}", outcome.stderr);
        }
        // What only the rules of the kind say comes with it, where they are asked.
        assert!(
            argv[0] == "plan" || outcome.stderr.contains("metadata.name: Invalid value"),
            "{argv:?}: {}",
            outcome.stderr
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_applied_last_is_edited_without_applying_it() {
    let argv = ["apply", "edit-last-applied", "cm/settings"];
    let outcome = session(&argv, "sed -i s/dark/light/", json!({})).run(&fixture("applied")).await;
    assert_eq!((outcome.exit, outcome.stdout.as_str()), (0, "configmap/settings edited\n"), "{outcome:?}");
    let object = outcome.after.pointer("/0/object").unwrap();
    assert_eq!(object["data"]["mode"], "dark");
    let note = &object["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"];
    assert!(note.as_str().unwrap().contains("\"mode\":\"light\""), "{note}");
}

const CLAIM: &str = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {accessModes: [ReadWriteOnce], \
                     resources: {requests: {storage: 1Gi}}}\n";

fn config(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n---\n")
}

/// Applies the objects as the set `shop`, and tells what was printed.
async fn apply(server: &crate::server::Serving, fixture: &Fixture, text: &str, more: &[&str]) -> Outcome {
    let mut argv = vec!["apply", "-f", "all.yaml", "--prune", "--applyset=shop"];
    argv.extend(more);
    session(&argv, "", json!({"all.yaml": text})).run_on(fixture, server).await
}

fn names(outcome: &Outcome) -> Vec<String> {
    let objects =
        outcome.after.as_array().unwrap().iter().map(|c| c.pointer("/object/metadata/name").unwrap_or(&c["path"]));
    objects.map(|name| name.as_str().unwrap().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn an_apply_set_prunes_what_left_the_files_and_keeps_data() {
    let fixture = fixture("empty");
    let server = fixture.serve();
    let first = apply(&server, &fixture, &(config("a") + &config("b") + CLAIM), &[]).await;
    assert_eq!((first.exit, names(&first)), (0, ["a", "b", "data", "shop"].map(str::to_owned).to_vec()), "{first:?}");

    let plan = ["plan", "-f", "all.yaml", "--prune", "--applyset=shop"];
    let plan = session(&plan, "", json!({"all.yaml": config("a")})).run_on(&fixture, &server).await;
    assert!(plan.exit == 2 && plan.stdout.contains("- configmap/b") && !plan.stdout.contains("data"), "{plan:?}");

    let dry = apply(&server, &fixture, &config("a"), &["--dry-run=server"]).await;
    assert!(dry.stdout.contains("configmap/b pruned (server dry run)"), "{dry:?}");
    let second = apply(&server, &fixture, &config("a"), &[]).await;
    assert_eq!(second.stdout, "configmap/a unchanged\nconfigmap/b pruned\n");
    assert!(second.stderr.contains("persistentvolumeclaim/data stays"), "{second:?}");
    assert_eq!(names(&second), ["a", "data", "shop"]);

    let third = apply(&server, &fixture, &config("a"), &["--prune-volumes"]).await;
    assert_eq!(third.stdout, "configmap/a unchanged\npersistentvolumeclaim/data pruned\n");
}

#[tokio::test(start_paused = true)]
async fn an_apply_set_of_another_tool_is_left_alone() {
    let fixture = fixture("empty");
    let server = fixture.serve();
    let secret = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: shop\n  labels: {applyset.kubernetes.io/id: x}\n  annotations:\n    \
                  applyset.kubernetes.io/tooling: helm/v4.0\n";
    session(&["create", "-f", "s.yaml"], "", json!({"s.yaml": secret})).run_on(&fixture, &server).await;
    let outcome = apply(&server, &fixture, &config("a"), &[]).await;
    let text = "error: ApplySet parent object \"secrets./shop\" already exists and is managed by tooling \"helm\" instead of \"wl\"\n";
    assert_eq!((outcome.exit, outcome.stderr.as_str()), (1, text));
    assert_eq!(names(&outcome), ["shop"]);
}

/// A session in a folder that others use too.
async fn in_folder(
    folder: &std::path::Path,
    argv: &[&str],
    server: &crate::server::Serving,
    fixture: &Fixture,
) -> Outcome {
    let mut session = session(argv, "", json!({}));
    session.0["cwd"] = folder.to_str().unwrap().into();
    session.run_on(fixture, server).await
}

#[tokio::test(start_paused = true)]
async fn up_applies_a_folder_and_down_takes_it_away() {
    let fixture = fixture("empty");
    let server = fixture.serve();
    let root = tempfile::tempdir().unwrap();
    let shop = root.path().join("Shop_1");
    std::fs::create_dir(&shop).unwrap();
    std::fs::write(shop.join("all.yaml"), config("a") + &config("b") + CLAIM).unwrap();

    let up = in_folder(root.path(), &["up", "Shop_1", "-d"], &server, &fixture).await;
    assert_eq!((up.exit, names(&up)), (0, ["a", "b", "data", "shop-1"].map(str::to_owned).to_vec()), "{up:?}");
    std::fs::write(shop.join("all.yaml"), config("a") + CLAIM).unwrap();
    let again = in_folder(root.path(), &["up", "Shop_1"], &server, &fixture).await;
    assert_eq!(
        again.stdout, "configmap/a unchanged\npersistentvolumeclaim/data unchanged\nconfigmap/b pruned\n",
        "{again:?}"
    );

    let other = tempfile::tempdir().unwrap();
    std::fs::create_dir(other.path().join("Shop_1")).unwrap();
    let stranger = in_folder(other.path(), &["down", "Shop_1"], &server, &fixture).await;
    assert!(stranger.exit == 1 && stranger.stderr.contains("is that of the folder"), "{stranger:?}");

    let down = in_folder(root.path(), &["down", "Shop_1"], &server, &fixture).await;
    assert_eq!(down.stdout, "configmap \"a\" deleted from default namespace\n");
    assert!(down.stderr.contains("persistentvolumeclaim/data stays"), "{down:?}");
    assert_eq!(names(&down), ["data", "shop-1"]);
    let rest = in_folder(root.path(), &["down", "Shop_1", "-v"], &server, &fixture).await;
    assert_eq!((rest.exit, names(&rest)), (0, Vec::new()), "{rest:?}");
    let nothing = in_folder(root.path(), &["down", "Shop_1"], &server, &fixture).await;
    assert!(nothing.exit == 1 && nothing.stderr.contains("wl up has applied nothing from here"), "{nothing:?}");
}

#[tokio::test(start_paused = true)]
async fn a_component_changes_what_names_it_and_items_of_a_patch_come_first() {
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {mode: light}\n";
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: a, image: x}, {name: b, image: x}]}\n";
    let patch = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: c, image: z}, {name: b, image: z}]}\n";
    let files = json!({
        "cm.yaml": map,
        "pod.yaml": pod,
        "kustomization.yaml": "resources: [pod.yaml, cm.yaml]\ncomponents: [more]\nnamePrefix: o-\nsortOptions: {order: fifo}\n",
        "more/kustomization.yaml": "kind: Component\npatches: [{path: pod.yaml}]\nconfigMapGenerator: [{name: settings, behavior: merge, literals: [x=1]}]\n",
        "more/pod.yaml": patch,
    });
    let outcome = session(&["kustomize", "."], "", files).run(&fixture("empty")).await;
    let expected = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: o-web\nspec:\n  containers:\n  - image: z\n    name: c\n  - image: z\n    name: b\n  \
                    - image: x\n    name: a\n---\napiVersion: v1\ndata:\n  mode: light\n  x: \"1\"\nkind: ConfigMap\nmetadata:\n  name: o-settings\n";
    assert_eq!((outcome.exit, outcome.stdout.as_str(), outcome.stderr.as_str()), (0, expected, ""));
    let deletes = "resources: [cm.yaml, pod.yaml]\npatches: [{patch: \"{apiVersion: v1, kind: Pod, metadata: {name: web}, $patch: delete}\"}]\n";
    let files = json!({"cm.yaml": map, "pod.yaml": pod, "kustomization.yaml": deletes});
    let outcome = session(&["kustomize", "."], "", files).run(&fixture("empty")).await;
    assert!(outcome.exit == 0 && !outcome.stdout.contains("kind: Pod"), "{outcome:?}");
}

/// What kubectl 1.33 builds of the same files.
#[tokio::test(start_paused = true)]
async fn replacements_put_a_value_where_it_is_wanted() {
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: src}\ndata: {port: \"8080\", image: \"nginx:1.27\"}\n";
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: NAME}\nspec:\n  containers:\n  - {name: a, image: \"x:1\", ports: [{containerPort: 80}], env: [{name: PORT, value: \"1\"}]}\n";
    let build = "resources: [cm.yaml, web.yaml, other.yaml]\nnamePrefix: pre-\nsortOptions: {order: fifo}\nreplacements:\n- path: port.yaml\n\
                 - source: {kind: ConfigMap, name: src, fieldPath: data.image, options: {delimiter: \":\", index: 1}}\n  targets:\n  \
                 - select: {kind: Pod, name: pre-web}\n    fieldPaths: [\"spec.containers.[name=a].image\"]\n    options: {delimiter: \":\", index: 1}\n\
                 - source: {kind: Pod, name: web}\n  targets:\n  - select: {kind: ConfigMap}\n    fieldPaths: [data.ref]\n    options: {create: true}\n";
    let port = "source: {kind: ConfigMap, name: src, fieldPath: data.port}\ntargets:\n- select: {kind: Pod}\n  reject: [{name: other}]\n  \
                fieldPaths: [\"spec.containers.0.ports.0.containerPort\", \"spec.containers.*.env.[name=PORT].value\"]\n";
    let (web, other) = (pod.replace("NAME", "web"), pod.replace("NAME", "other"));
    let files = |build: &str| json!({"cm.yaml": map, "web.yaml": web, "other.yaml": other, "port.yaml": port, "kustomization.yaml": build});
    let outcome = session(&["kustomize", "."], "", files(build)).run(&fixture("empty")).await;
    let shown = |name: &str, image: &str, port: u16, env: u16| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: pre-{name}\nspec:\n  containers:\n  - env:\n    - name: PORT\n      value: \"{env}\"\n    \
             image: {image}\n    name: a\n    ports:\n    - containerPort: {port}\n"
        )
    };
    let map = "apiVersion: v1\ndata:\n  image: nginx:1.27\n  port: \"8080\"\n  ref: pre-web\nkind: ConfigMap\nmetadata:\n  name: pre-src\n";
    let expected = [map, &shown("web", "x:1.27", 8080, 8080), &shown("other", "x:1", 80, 1)].join("---\n");
    assert_eq!((outcome.exit, outcome.stdout.as_str(), outcome.stderr.as_str()), (0, expected.as_str(), ""));

    let missing = "resources: [cm.yaml, web.yaml]\nreplacements: [{source: {kind: Pod}, targets: [{select: {kind: ConfigMap}, fieldPaths: [data.none]}]}]\n";
    let outcome = session(&["kustomize", "."], "", files(missing)).run(&fixture("empty")).await;
    assert_eq!(
        (outcome.exit, outcome.stderr.as_str()),
        (1, "error: unable to find field \"data.none\" in replacement target\n")
    );
}
