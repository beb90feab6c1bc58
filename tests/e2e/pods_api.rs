//! A pod asks the API: over TLS, by the names that the cluster has for it, with the token of its account.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::world::{IMAGES, World};

const MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// A pod that carries connections from its port to the API, so that this process can ask as the pod.
fn asker() -> String {
    let text = r#"
apiVersion: v1
kind: Pod
metadata: {name: asker, labels: {app: asker}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: app
    image: IMAGE
    args: ["/program", "on-term:0", "relay:9443=kubernetes.default.svc:443"]
    readinessProbe: {tcpSocket: {port: 9443}, periodSeconds: 1, timeoutSeconds: 10}
---
apiVersion: v1
kind: Service
metadata: {name: asker}
spec:
  type: NodePort
  selector: {app: asker}
  ports: [{port: 9443}]
"#;
    text.replace("IMAGE", IMAGES[0])
}

/// What the pod has in its hands.
struct Pod {
    port: u16,
    token: String,
    connector: TlsConnector,
}

impl Pod {
    async fn of(world: &World) -> Self {
        let read = |file: &str| {
            let step = format!("cat:{MOUNT}/{file}");
            async move { world.wl(&["exec", "asker", "--", "/program", &step]).await.ends(0).out }
        };
        let service = world.json(&["get", "svc", "asker"]).await;
        let port = service.pointer("/spec/ports/0/nodePort").and_then(Value::as_u64).expect("a node port");
        let mut roots = RootCertStore::empty();
        let bundle = read("ca.crt").await;
        roots.add(CertificateDer::from_pem_slice(bundle.as_bytes()).expect("PEM")).expect("an authority");
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("versions").with_root_certificates(roots);
        Pod {
            port: u16::try_from(port).expect("a port"),
            token: read("token").await,
            connector: TlsConnector::from(Arc::new(builder.with_no_client_auth())),
        }
    }

    /// The code and the body of an answer to who is known by `token`.
    async fn ask(&self, method: &str, path: &str, token: &str, body: Option<Value>) -> std::io::Result<(u16, Value)> {
        let asked = async {
            let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
            let name = ServerName::try_from("kubernetes.default.svc").expect("a name");
            let mut stream = self.connector.connect(name, stream).await?;
            let body = body.map(|body| body.to_string()).unwrap_or_default();
            let authorization =
                if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
            let head = format!(
                "{method} {path} HTTP/1.1\r\nHost: kubernetes.default.svc\r\nConnection: close\r\nAccept: application/json\r\n\
                 {authorization}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(head.as_bytes()).await?;
            let mut answer = Vec::new();
            match stream.read_to_end(&mut answer).await {
                Err(error) if answer.is_empty() => return Err(error),
                _ => {}
            }
            Ok(String::from_utf8_lossy(&answer).into_owned())
        };
        let answer = tokio::time::timeout(Duration::from_secs(20), asked).await??;
        let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let body = answer.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str(body).ok());
        Ok((code, body.unwrap_or(Value::Null)))
    }

    /// The code alone, with the pod's own token.
    async fn code(&self, method: &str, path: &str, body: Option<Value>) -> u16 {
        self.ask(method, path, &self.token, body).await.unwrap_or_else(|e| panic!("{method} {path}: {e}")).0
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_asks_the_api_and_may_what_its_account_may() {
    let Some(world) = World::new("api").await else { return };
    let file = world.file("asker.yaml", &asker());
    world.wl(&["apply", "-f", &file]).await.ends(0);
    let exec = |step: &'static str| world.wl(&["exec", "asker", "--", "/program", step]);
    let address =
        world.json(&["get", "svc", "kubernetes"]).await["spec"]["clusterIP"].as_str().unwrap_or("").to_owned();
    exec("env:KUBERNETES_SERVICE_HOST").await.ends(0).says(&[&format!("KUBERNETES_SERVICE_HOST={address}\n")]);
    exec("env:KUBERNETES_SERVICE_PORT_HTTPS").await.ends(0).says(&["KUBERNETES_SERVICE_PORT_HTTPS=443\n"]);
    let pod = Pod::of(&world).await;
    let answers = || async { pod.ask("GET", "/version", "", None).await.is_ok_and(|(code, _)| code == 200) };
    world.eventually("the API answers", answers).await;

    // Without a binding: discovery, and questions about oneself.
    let pods = "/api/v1/namespaces/default/pods";
    assert_eq!(pod.code("GET", "/apis", None).await, 200);
    let who = json!({"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"});
    let review = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let (code, body) = pod.ask("POST", review, &pod.token, Some(who)).await.expect("answered");
    assert_eq!((code, &body["status"]["userInfo"]["username"]), (201, &json!("system:serviceaccount:default:default")));
    for path in [pods, "/api/v1/namespaces/kube-system/secrets", "/api/v1/nodes"] {
        assert_eq!(pod.code("GET", path, None).await, 403, "{path}");
    }
    let spec = json!({"containers": [{"name": "c", "image": IMAGES[0], "securityContext": {"privileged": true}}]});
    let made = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "more"}, "spec": spec});
    assert_eq!(pod.code("POST", pods, Some(made)).await, 403);
    assert_eq!(pod.code("POST", &format!("{pods}/asker/exec?command=id"), None).await, 403);
    assert_eq!(pod.code("DELETE", &format!("{pods}/asker"), None).await, 403);
    let nobody = |token: &'static str| pod.ask("GET", pods, token, None);
    assert_eq!(nobody("").await.expect("answered").0, 403, "without a token he is nobody");
    assert_eq!(nobody("no.such.token").await.expect("answered").0, 401);

    // A binding decides, and no more than it says.
    let binding = ["create", "rolebinding", "sees", "--clusterrole=view", "--serviceaccount=default:default"];
    world.wl(&binding).await.ends(0);
    let sees = || async { pod.code("GET", pods, None).await == 200 };
    world.eventually("it sees pods", sees).await;
    assert_eq!(pod.code("GET", "/api/v1/namespaces/default/secrets", None).await, 403);
    assert_eq!(pod.code("DELETE", &format!("{pods}/asker"), None).await, 403);

    // What leads there comes back where it is taken away; another watch is known by the same authority.
    world.wl(&["delete", "endpointslice", "kubernetes"]).await.ends(0);
    world.eventually("the endpoints are back and used", sees).await;
    world.wl(&["watch", "stop"]).await.ends(0);
    assert!(pod.ask("GET", "/version", "", None).await.is_err(), "there is no API without a watch");
    world.wl(&["apply", "-f", &file]).await.ends(0);
    world.eventually("the API answers again", answers).await;
    assert_eq!(pod.code("GET", pods, None).await, 200);
    world.wl(&["delete", "--now", "pod", "asker"]).await.ends(0);
    world.end().await;
}
