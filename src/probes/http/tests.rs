use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::super::{Direct, KUBELET_VERSION};
use super::*;

/// Serves one prepared answer after the other, each on its own connection; returns what was asked.
async fn serve(answers: Vec<String>) -> (SocketAddr, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let read = stream.read(&mut request).await.unwrap();
            asked.push(String::from_utf8_lossy(&request[..read]).into_owned());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        asked
    });
    (address, served)
}

fn answer(status: &str, extra: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{extra}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn target(address: SocketAddr, path: &str) -> HttpTarget {
    HttpTarget {
        https: false,
        host: address.ip().to_string(),
        port: address.port(),
        path: path.into(),
        headers: Vec::new(),
        user_agent: format!("kube-probe/{KUBELET_VERSION}"),
        hook: false,
    }
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn answers_from_200_to_399_are_success_others_are_failures() {
    for (status, expected) in [
        ("200 OK", Answer::Success),
        ("204 No Content", Answer::Success),
        ("301 Moved", Answer::Warning("Probe terminated redirects, Response body: x".into())),
        ("400 Bad", Answer::Failure("HTTP probe failed with statuscode: 400".into())),
        ("503 No", Answer::Failure("HTTP probe failed with statuscode: 503".into())),
    ] {
        let (address, _served) = serve(vec![answer(status, "", if status.starts_with("204") { "" } else { "x" })]).await;
        assert_eq!(http(&Direct, &target(address, "/"), LONG).await, expected, "{status}");
    }
}

#[tokio::test]
async fn it_asks_as_the_kubelet_does() {
    let (address, served) = serve(vec![answer("200 OK", "", "")]).await;
    let mut target = target(address, "healthz?full=1");
    target.headers = vec![("X-A".into(), "1".into()), ("Accept".into(), String::new()), ("Host".into(), "me".into())];
    assert_eq!(http(&Direct, &target, LONG).await, Answer::Success);
    let asked = served.await.unwrap().remove(0).to_lowercase();
    assert!(asked.starts_with("get /healthz?full=1 http/1.1\r\n"), "{asked}");
    for line in ["user-agent: kube-probe/1.32\r\n", "connection: close\r\n", "x-a: 1\r\n", "host: me\r\n"] {
        assert!(asked.contains(line), "{line} in {asked}");
    }
    assert!(!asked.contains("accept:"), "{asked}");
}

#[tokio::test]
async fn redirects_are_followed_on_the_same_host_only() {
    let there = answer("302 Found", "Location: /b\r\n", "");
    let (address, served) = serve(vec![there, answer("200 OK", "", "")]).await;
    assert_eq!(http(&Direct, &target(address, "/a"), LONG).await, Answer::Success);
    assert!(served.await.unwrap()[1].starts_with("GET /b "));

    let away = answer("302 Found", "Location: http://other.invalid/\r\n", "gone");
    let (address, _served) = serve(vec![away]).await;
    let expected = Answer::Warning("Probe terminated redirects, Response body: gone".into());
    assert_eq!(http(&Direct, &target(address, "/a"), LONG).await, expected);
}

#[tokio::test]
async fn a_redirect_tells_where_it_comes_from_and_keeps_the_host_on_a_relative_way() {
    let (address, served) = serve(vec![
        answer("302 Found", "Location: /b\r\n", ""),
        answer("302 Found", "Location: c?d\r\n", ""),
        answer("200 OK", "", ""),
    ])
    .await;
    let mut named = target(address, "/a");
    named.headers = vec![("Host".into(), "me".into()), ("X-Empty".into(), String::new()), ("Content-Length".into(), "5".into())];
    assert_eq!(http(&Direct, &named, LONG).await, Answer::Success);
    let asked: Vec<String> = served.await.unwrap().iter().map(|a| a.to_lowercase()).collect();
    for request in &asked {
        assert!(request.contains("host: me\r\n") && request.contains("x-empty: \r\n"), "{request}");
        assert!(!request.contains("content-length"), "{request}");
    }
    assert!(!asked[0].contains("referer"), "{}", asked[0]);
    assert!(asked[1].contains(&format!("referer: http://{address}/a\r\n")), "{}", asked[1]);
    assert!(asked[2].contains(&format!("referer: http://{address}/b\r\n")), "{}", asked[2]);
    assert!(asked[2].starts_with("get /c?d "), "{}", asked[2]);

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let there = listener.local_addr().unwrap();
    drop(listener);
    let (address, served) = serve(vec![answer("302 Found", &format!("Location: http://{there}/\r\n"), "")]).await;
    let text = format!("Get \"http://{there}/\": dial tcp {there}: connect: connection refused");
    assert_eq!(http(&Direct, &target(address, "/a"), LONG).await, Answer::Failure(text), "another port is the same host");
    drop(served);
}

#[tokio::test]
async fn an_answer_that_breaks_off_counts_neither_way() {
    let (address, _served) = serve(vec!["HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".into()]).await;
    assert_eq!(http(&Direct, &target(address, "/"), LONG).await, Answer::Error("unexpected EOF".into()));
}

#[tokio::test]
async fn the_eleventh_request_of_a_circle_is_not_made() {
    let (address, served) = serve(vec![answer("302 Found", "Location: /again\r\n", ""); 10]).await;
    let text = "Get \"/again\": stopped after 10 redirects";
    assert_eq!(http(&Direct, &target(address, "/again"), LONG).await, Answer::Failure(text.into()));
    assert_eq!(served.await.unwrap().len(), 10);
}

#[tokio::test]
async fn what_goes_wrong_is_told_in_gos_words() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let late = http(&Direct, &target(address, "/x"), Duration::from_millis(50)).await;
    let text = format!("Get \"http://{address}/x\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)");
    assert_eq!(late, Answer::Failure(text));
    drop(listener);
    let refused = http(&Direct, &target(address, "/"), LONG).await;
    assert_eq!(refused, Answer::Failure(format!("Get \"http://{address}/\": dial tcp {address}: connect: connection refused")));

    let (address, _served) = serve(vec!["HTTP/1.1 400 Bad Request\r\n\r\n".into()]).await;
    let mut secure = target(address, "/code/200");
    secure.https = true;
    let text = format!("Get \"https://{address}/code/200\": http: server gave HTTP response to HTTPS client");
    assert_eq!(http(&Direct, &secure, LONG).await, Answer::Failure(text));

    let (address, _served) = serve(vec![String::new()]).await;
    assert_eq!(http(&Direct, &target(address, "/"), LONG).await, Answer::Failure(format!("Get \"http://{address}/\": EOF")));
}

#[tokio::test]
async fn a_connection_is_enough_for_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    assert_eq!(super::super::tcp(&Direct, "127.0.0.1", port, LONG).await, Answer::Success);
    drop(listener);
    let text = format!("dial tcp 127.0.0.1:{port}: connect: connection refused");
    assert_eq!(super::super::tcp(&Direct, "127.0.0.1", port, LONG).await, Answer::Failure(text));
}
