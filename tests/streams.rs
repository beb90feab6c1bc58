//! exec, attach and port-forward at the API server's door, with a node behind it that only pretends.
#![cfg(feature = "internals")]

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};
use wl::api::{GroupResource, Key, Object};
use wl::apiserver::{
    self, Answering, ByteStream, CommandOptions, LogOptions, Pipe, PodStreams, Process, Server, StreamError,
};
use wl::registry::Settings;
use wl::state::State;
use wl::store::{Store, SystemRandom};

/// `cat` gives its input back, `fail` says why and ends with 3, `size` tells its terminal's; ports give back what they get.
struct Pretended;

impl PodStreams for Pretended {
    fn logs<'a>(&'a self, _: &'a Object, _: LogOptions) -> Answering<'a, ByteStream, StreamError> {
        Box::pin(async { Ok(Box::pin(futures_util::stream::empty()) as ByteStream) })
    }

    fn exec<'a>(
        &'a self,
        _: &'a Object,
        options: CommandOptions,
        command: Vec<String>,
    ) -> Answering<'a, Process, String> {
        Box::pin(async move {
            let (stdin, mut typed) = tokio::io::duplex(1024);
            let (stdout, mut out) = tokio::io::duplex(1024);
            let (stderr, mut err) = tokio::io::duplex(1024);
            let (resize, mut size) = tokio::sync::watch::channel((0, 0));
            let ended: std::pin::Pin<Box<dyn Future<Output = Result<i32, String>> + Send>> = match command[0].as_str() {
                "cat" => Box::pin(async move {
                    let _ = tokio::io::copy(&mut typed, &mut out).await;
                    Ok(0)
                }),
                "fail" => Box::pin(async move {
                    let _ = err.write_all(b"no\n").await;
                    Ok(3)
                }),
                "size" => Box::pin(async move {
                    let _ = size.wait_for(|size| *size != (0, 0)).await;
                    let text = format!("{:?}", *size.borrow());
                    let _ = out.write_all(text.as_bytes()).await;
                    Ok(0)
                }),
                _ => return Err("container not found (\"c\")".into()),
            };
            let stdin: Box<dyn AsyncWrite + Send + Unpin> = Box::new(stdin);
            let stderr: Box<dyn AsyncRead + Send + Unpin> = Box::new(stderr);
            Ok(Process {
                stdin: options.stdin.then_some(stdin),
                stdout: Some(Box::new(stdout)),
                stderr: options.stderr.then_some(stderr),
                resize: options.tty.then_some(resize),
                ended,
            })
        })
    }

    fn attach<'a>(&'a self, pod: &'a Object, options: CommandOptions) -> Answering<'a, Process, String> {
        self.exec(pod, options, vec!["cat".into()])
    }

    fn port<'a>(&'a self, _: &'a Object, port: u16) -> Answering<'a, Box<dyn Pipe>, String> {
        Box::pin(async move {
            if port == 9 {
                return Err("connection refused".into());
            }
            let (near, far) = tokio::io::duplex(1024);
            tokio::spawn(async move {
                let (mut reader, mut writer) = tokio::io::split(far);
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
                let _ = writer.shutdown().await;
            });
            Ok(Box::new(near) as Box<dyn Pipe>)
        })
    }
}

fn pod(name: &str, node: &str) -> (Key, Object) {
    let object = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default", "uid": "u"},
        "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}]},
    });
    (Key::new(GroupResource::new("", "pods"), "default", name), Object::new(object))
}

fn connect() -> DuplexStream {
    let mut state = State::new();
    for (key, object) in [pod("web", "n"), pod("new", "")] {
        state.put(key, object);
    }
    state.take_changes();
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let store = Store::in_memory_with(Settings::default(), state, Arc::new(move || now), Box::new(SystemRandom::new()));
    let server = Server::new(store).with_streams(Arc::new(Pretended));
    let (near, far) = tokio::io::duplex(64 << 10);
    tokio::spawn(apiserver::serve(server, far));
    near
}

async fn open(path: &str, protocols: &str) -> Result<(WebSocketStream<DuplexStream>, String), Error> {
    let mut request = format!("ws://wl/api/v1/namespaces/default/pods/{path}").into_client_request().unwrap();
    if !protocols.is_empty() {
        request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap());
    }
    let (socket, response) = client_async(request, connect()).await?;
    let agreed = response.headers().get("sec-websocket-protocol").map_or("", |v| v.to_str().unwrap()).to_owned();
    Ok((socket, agreed))
}

/// Everything that comes until the end, by stream, in the binary protocols.
async fn all(socket: &mut WebSocketStream<DuplexStream>) -> Vec<(u8, String)> {
    let mut heard: Vec<(u8, String)> = Vec::new();
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Binary(bytes) = message {
            let text = String::from_utf8_lossy(&bytes[1..]).into_owned();
            match heard.last_mut() {
                Some((stream, before)) if *stream == bytes[0] => before.push_str(&text),
                _ => heard.push((bytes[0], text)),
            }
        }
    }
    heard
}

fn binary(stream: u8, text: &str) -> Message {
    Message::binary([&[stream][..], text.as_bytes()].concat())
}

async fn refusal(path: &str, protocols: &str) -> (u16, String) {
    match open(path, protocols).await.map(|_| ()) {
        Err(Error::Http(response)) => {
            let status: Value =
                serde_json::from_slice(response.body().as_deref().unwrap_or_default()).unwrap_or_default();
            (response.status().as_u16(), status["message"].as_str().unwrap_or("").to_owned())
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn input_is_closed_and_the_end_is_told_in_version_five() {
    let (mut socket, agreed) =
        open("web/exec?command=cat&stdin=true&stdout=true", "x,v5.channel.k8s.io,v4.channel.k8s.io").await.unwrap();
    assert_eq!(agreed, "v5.channel.k8s.io");
    socket.send(binary(0, "hello")).await.unwrap();
    socket.send(binary(255, "\0")).await.unwrap();
    let heard = all(&mut socket).await;
    assert_eq!(heard, [(1, "hello".into()), (3, r#"{"metadata":{},"status":"Success"}"#.into())]);
}

#[tokio::test]
async fn exit_codes_are_told_as_causes_and_to_old_clients_as_text() {
    let (mut socket, _) = open("web/exec?command=fail&stderr=1", "v4.channel.k8s.io").await.unwrap();
    let heard = all(&mut socket).await;
    assert_eq!(heard[0], (2, "no\n".into()));
    let status: Value = serde_json::from_str(&heard[1].1).unwrap();
    assert_eq!((heard[1].0, &status["reason"]), (3, &json!("NonZeroExitCode")));
    assert_eq!(status["details"]["causes"], json!([{"reason": "ExitCode", "message": "3"}]));
    let (mut socket, agreed) = open("web/exec?command=fail&stderr=1", "").await.unwrap();
    assert_eq!(agreed, "");
    let heard = all(&mut socket).await;
    assert_eq!(heard[1], (3, "command terminated with non-zero exit code: exit status 3".into()));
    let (mut socket, _) = open("web/exec?command=fail&stderr=1", "base64.channel.k8s.io").await.unwrap();
    let mut texts = Vec::new();
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Text(text) = message {
            texts.push(text.as_str().to_owned());
        }
    }
    assert_eq!(texts[..2], ["2".to_owned(), "2bm8K".to_owned()]);
    let (mut socket, _) = open("web/exec?command=nosuch&stdout=1", "v5.channel.k8s.io").await.unwrap();
    let status: Value = serde_json::from_str(&all(&mut socket).await[1].1).unwrap();
    let why = "Internal error occurred: error executing command in container: container not found (\"c\")";
    assert_eq!(status["message"], why);
}

#[tokio::test]
async fn a_terminal_is_given_its_size() {
    let path = "web/exec?command=size&stdin=true&stdout=true&stderr=true&tty=true";
    let (mut socket, _) = open(path, "v5.channel.k8s.io").await.unwrap();
    socket.send(binary(4, r#"{"Width":120,"Height":40}"#)).await.unwrap();
    assert_eq!(all(&mut socket).await[0], (1, "(120, 40)".into()));
}

#[tokio::test]
async fn what_cannot_be_is_refused_before_the_protocol_changes() {
    let v5 = "v5.channel.k8s.io";
    assert_eq!(
        refusal("web/exec?command=cat", v5).await,
        (400, "you must specify at least 1 of stdin, stdout, stderr".into())
    );
    assert_eq!(refusal("web/exec?stdout=1", v5).await.0, 400);
    assert_eq!(
        refusal("new/exec?command=cat&stdout=1", v5).await,
        (400, "pod new does not have a host assigned".into())
    );
    let missing = refusal("web/exec?command=cat&stdout=1&container=x", v5).await;
    assert_eq!(missing, (400, "container x is not valid for pod web".into()));
    assert_eq!(refusal("gone/attach?stdout=1", v5).await.0, 404);
    let (code, why) = refusal("web/exec?command=cat&stdout=1", "v9.channel.k8s.io").await;
    assert_eq!(code, 403);
    assert!(why.contains("unable to negotiate protocol"), "{why}");
    assert_eq!(refusal("web/portforward", "v4.channel.k8s.io").await.0, 400);
    let mut pipe = connect();
    let request = "GET /api/v1/namespaces/default/pods/web/exec?command=cat&stdout=1 HTTP/1.1\r\nHost: wl\r\nConnection: close\r\n\r\n";
    pipe.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    pipe.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("Upgrade request required"), "{answer}");
}

#[tokio::test]
async fn ports_are_carried_in_streams_by_number() {
    let (mut socket, _) = open("web/portforward?ports=80&ports=9", "v4.channel.k8s.io").await.unwrap();
    socket.send(binary(0, "ping")).await.unwrap();
    socket.send(binary(0, "")).await.unwrap();
    let mut heard = [const { Vec::<u8>::new() }; 4];
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Binary(bytes) = message {
            heard[usize::from(bytes[0])].extend(&bytes[1..]);
        }
    }
    assert_eq!(heard[0], b"\x50\0ping");
    assert_eq!(heard[1], b"\x50\0");
    assert_eq!(heard[2], b"\x09\0");
    let refused = String::from_utf8_lossy(&heard[3][2..]).into_owned();
    assert_eq!(refused, "error forwarding port 9 to pod web, uid u: connection refused");
}

/// Header blocks of kubectl's library for `streamtype: error` and then `data`, `port: 8080`, `requestid: 0`.
const ERROR_BLOCK: &[u8] =
    b"\x78\xf9\xe3\xc6\xa7\xc2\x02\x25\x3a\x70\x3a\x2b\x29\x4a\x4d\xcc\x85\x16\x25\xac\xa9\xa0\x80\x86\x14\xcb\
    \x45\xe0\x1c\x60\x61\x60\x61\x00\xa4\x39\x8b\x20\xd1\x98\x09\x4a\xde\x8c\x06\x00\x00\x00\x00\xff\xff";
const DATA_BLOCK: &[u8] = b"\xc2\xaa\x19\x54\x0e\x25\x12\xd6\x0b\x00\x00\x00\xff\xff";

fn syn_stream(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    let length = u32::try_from(10 + block.len()).unwrap().to_be_bytes();
    let head = [0x80, 3, 0, 1, flags, length[1], length[2], length[3]];
    [&head[..], &stream.to_be_bytes(), &[0; 6], block].concat()
}

/// What kubectl says for one connection: an error stream that it closes, a data stream, four bytes and the end.
fn kubectl() -> Vec<u8> {
    [
        syn_stream(1, 1, ERROR_BLOCK),
        syn_stream(3, 0, DATA_BLOCK),
        [&3u32.to_be_bytes()[..], &[0, 0, 0, 4], b"ping"].concat(),
        [&3u32.to_be_bytes()[..], &[1, 0, 0, 0]].concat(),
    ]
    .concat()
}

/// Both replies, the echo, and the ends of both streams.
fn expected() -> usize {
    let (first_reply, reply) = (8 + 4 + 11, 8 + 4 + 9);
    first_reply + reply + (8 + 4) + 8 + 8
}

fn check(heard: &[u8]) {
    assert_eq!(heard[..8], [0x80, 3, 0, 2, 0, 0, 0, 15], "a reply");
    let echo = [&3u32.to_be_bytes()[..], &[0, 0, 0, 4], b"ping"].concat();
    assert!(heard.windows(echo.len()).any(|w| w == echo), "{heard:?}");
    for stream in [1u32, 3] {
        let end = [&stream.to_be_bytes()[..], &[1, 0, 0, 0]].concat();
        assert!(heard.windows(8).any(|w| w == end), "the end of {stream} in {heard:?}");
    }
}

#[tokio::test]
async fn kubectls_frames_are_read_from_messages() {
    let (mut socket, agreed) = open("web/portforward", "SPDY/3.1+portforward.k8s.io").await.unwrap();
    assert_eq!(agreed, "SPDY/3.1+portforward.k8s.io");
    for piece in kubectl().chunks(7) {
        socket.send(Message::Binary(Bytes::copy_from_slice(piece))).await.unwrap();
    }
    let mut heard = Vec::new();
    while heard.len() < expected() {
        if let Message::Binary(bytes) = socket.next().await.unwrap().unwrap() {
            heard.extend(bytes);
        }
    }
    check(&heard);
}

#[tokio::test]
async fn kubectls_frames_are_read_from_the_connection_itself() {
    let mut pipe = connect();
    let request = "POST /api/v1/namespaces/default/pods/web/portforward HTTP/1.1\r\nHost: wl\r\nConnection: Upgrade\r\n\
                   Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: portforward.k8s.io\r\n\r\n";
    pipe.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(pipe.read_u8().await.unwrap());
    }
    let answer = String::from_utf8(answer).unwrap().to_lowercase();
    assert!(answer.starts_with("http/1.1 101") && answer.contains("upgrade: spdy/3.1"), "{answer}");
    pipe.write_all(&kubectl()).await.unwrap();
    let mut heard = vec![0; expected()];
    pipe.read_exact(&mut heard).await.unwrap();
    check(&heard);
}
