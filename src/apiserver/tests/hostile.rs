use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::Api;

/// A connection without a client that knows the rules.
fn raw(api: &Api) -> DuplexStream {
    let (near, far) = tokio::io::duplex(64 * 1024);
    tokio::spawn(crate::apiserver::serve(api.server.clone(), far));
    near
}

/// What comes until the server ends the connection.
async fn rest(mut stream: DuplexStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn what_is_no_http_ends_its_connection_only() {
    let api = Api::new().await;
    for text in ["\0\0\0\0", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "POST /api HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        "POST /api HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnot a frame at all"]
    {
        let mut stream = raw(&api);
        let _ = stream.write_all(text.as_bytes()).await;
        let _ = stream.shutdown().await;
        let answer = rest(stream).await;
        assert!(!answer.starts_with("HTTP/1.1 200"), "{text:?}: {answer}");
        assert_eq!(api.get("/livez").await.text, "ok");
    }
}

#[tokio::test]
async fn headers_without_end_are_refused() {
    let api = Api::new().await;
    let mut stream = raw(&api);
    let head = format!("GET /livez HTTP/1.1\r\nhost: x\r\n{}\r\n", "x-y: z\r\n".repeat(10_000));
    let (mut read, mut write) = tokio::io::split(&mut stream);
    let sending = async {
        let _ = write.write_all(head.as_bytes()).await;
    };
    let mut bytes = vec![0; 64];
    let (count, ()) = tokio::join!(async { read.read(&mut bytes).await.unwrap_or(0) }, sending);
    assert!(String::from_utf8_lossy(&bytes[..count]).starts_with("HTTP/1.1 431"), "{:?}", &bytes[..count]);
    assert_eq!(api.get("/livez").await.code, 200);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_go_on_is_let_go() {
    let api = Api::new().await;
    let mut stream = raw(&api);
    let start = "POST /api/v1/namespaces HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{";
    stream.write_all(start.as_bytes()).await.unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(120), rest(stream)).await.expect("an end");
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn who_never_finishes_asking_is_let_go() {
    let api = Api::new().await;
    for start in ["GET /livez HTTP/1.1\r\nhost: x\r\nx-half: ", ""] {
        let mut stream = raw(&api);
        // The first request is whole: what follows it counts too.
        stream.write_all(format!("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n{start}").as_bytes()).await.unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(200), rest(stream)).await.expect("an end");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let api = Api::new().await;
    let body = serde_json::Value::from("x".repeat(4 << 20));
    let refused = api.post("/api/v1/namespaces", body).await;
    assert_eq!(refused.code, 413);
    assert_eq!(refused.body["kind"], "Status");
}

#[tokio::test]
async fn broken_bodies_are_bad_requests() {
    let api = Api::new().await;
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let texts = ["{", "{\"a\":}", "\u{feff}{}", "[1,2", "nul", "{\"metadata\":{\"name\":\"\\ud800\"}}x", deep.as_str()];
    for text in texts {
        for (method, media) in [("POST", "application/json"), ("POST", "application/yaml"), ("POST", "application/vnd.kubernetes.protobuf"), ("PATCH", "application/merge-patch+json"),
            ("PATCH", "application/json-patch+json"), ("PATCH", "application/strategic-merge-patch+json"), ("PATCH", "application/apply-patch+yaml")]
        {
            let path = if method == "POST" { "/api/v1/namespaces" } else { "/api/v1/namespaces/default?fieldManager=m" };
            let mut stream = raw(&api);
            let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {media}\r\ncontent-length: {}\r\n\r\n", text.len());
            stream.write_all(head.as_bytes()).await.unwrap();
            let _ = stream.write_all(text.as_bytes()).await;
            let answer = rest(stream).await;
            let code: u16 = answer.get(9..12).and_then(|c| c.parse().ok()).unwrap_or(0);
            let start: String = text.chars().take(20).collect();
            assert!((400..=500).contains(&code), "{method} {media} {start:?}: {answer}");
            assert!(answer.contains("\"kind\":\"Status\""), "{method} {media} {start:?}: {answer}");
        }
    }
    assert_eq!(api.get("/api/v1/namespaces/default").await.code, 200);
}

#[tokio::test]
async fn paths_lead_nowhere_else() {
    let api = Api::new().await;
    let long = format!("/api/v1/namespaces/{}", "a".repeat(30_000));
    for path in ["/api/v1/namespaces/../namespaces/default", "/api/v1/namespaces/%2e%2e/secrets/x", "/api/v1//namespaces/default/x",
        "/api/v1/namespaces/default%2Fpods", "/api/v1/namespaces/default%00", "/api/v1/namespaces/default/pods/a%2Fb",
        "/api/v1/namespaces/default/pods/%", "/../../etc/passwd", "/api/v1/namespaces/default/pods/x/log/../exec",
        "/apis/..%2f..%2fetc", "/openapi/v3/../../x", "/API/v1", "/api/v1/namespaces/%ff%fe", long.as_str()]
    {
        let answer = api.get(path).await;
        assert!(matches!(answer.code, 400 | 404), "{path}: {} {}", answer.code, answer.text);
    }
    for query in ["limit=99999999999999999999", "labelSelector=%00%3D%3D%3D", "fieldSelector=a%5C", "continue=%F0%9F%98%80",
        "resourceVersion=-1", "timeoutSeconds=x", "labelSelector=((((((((", "limit=1&limit=x&continue=e30"]
    {
        let answer = api.get(&format!("/api/v1/namespaces?{query}")).await;
        assert!((400..=500).contains(&answer.code), "{query}: {}", answer.code);
        assert_eq!(answer.body["kind"], "Status", "{query}");
    }
}
