//! Questions and answers, as a pod's resolver has them.

use std::net::{IpAddr, Ipv4Addr};

use hickory_proto::op::{Edns, OpCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use proptest::prelude::*;

use super::*;
use crate::network::config::{Endpoint, EndpointState, Protocol, ServiceConfig, ServicePort, Slice, SlicePort};

fn port(name: &str, protocol: Protocol, number: u16) -> ServicePort {
    ServicePort { name: name.into(), protocol, port: number, http2: false, published: Vec::new() }
}

fn endpoint(last: u8, hostname: Option<&str>, state: EndpointState) -> Endpoint {
    Endpoint { address: IpAddr::from([10, 1, 0, last]), hostname: hostname.map(str::to_owned), state }
}

fn v6(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn headless(name: &str, endpoints: Vec<Endpoint>) -> ServiceConfig {
    ServiceConfig {
        namespace: "default".into(),
        name: name.into(),
        ports: vec![port("web", Protocol::Tcp, 80)],
        slices: vec![Slice {
            ports: vec![SlicePort { name: "web".into(), protocol: Protocol::Tcp, port: 8080 }],
            endpoints,
        }],
        ..ServiceConfig::default()
    }
}

fn config() -> GatewayConfig {
    use EndpointState::{Leaving, NotReady, Ready};
    let many = (1..=200).map(|last| Endpoint { address: IpAddr::from([10, 2, 0, last]), ..endpoint(0, None, Ready) });
    let mut many = headless("many", many.collect());
    many.namespace = "other".into();
    GatewayConfig {
        domain: "cluster.local".into(),
        namespaces: vec!["default".into(), "other".into()],
        services: vec![
            ServiceConfig {
                namespace: "default".into(),
                name: "web".into(),
                addresses: vec![IpAddr::from([10, 1, 128, 9])],
                ports: vec![port("http", Protocol::Tcp, 80), port("", Protocol::Udp, 53)],
                ..ServiceConfig::default()
            },
            headless(
                "nginx",
                vec![
                    endpoint(5, Some("web-0"), Ready),
                    endpoint(6, None, Ready),
                    endpoint(7, Some("web-2"), NotReady),
                    endpoint(8, Some("web-3"), Leaving),
                ],
            ),
            ServiceConfig {
                namespace: "default".into(),
                name: "both".into(),
                addresses: vec![IpAddr::from([10, 1, 128, 8]), v6("fd00::8008")],
                ports: vec![port("http", Protocol::Tcp, 80)],
                ..ServiceConfig::default()
            },
            headless(
                "six",
                vec![
                    endpoint(15, Some("six-0"), Ready),
                    Endpoint { address: v6("fd00::5"), ..endpoint(0, Some("six-0"), Ready) },
                    Endpoint { address: v6("fd00::6"), ..endpoint(0, None, Ready) },
                ],
            ),
            headless("empty", vec![endpoint(9, None, NotReady)]),
            many,
            ServiceConfig {
                namespace: "default".into(),
                name: "inside".into(),
                external_name: Some("web.default.svc.cluster.local".into()),
                ..ServiceConfig::default()
            },
            ServiceConfig {
                namespace: "default".into(),
                name: "outside".into(),
                external_name: Some("db.example.test".into()),
                ..ServiceConfig::default()
            },
        ],
        ..GatewayConfig::default()
    }
}

fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).expect("a name"), kind));
    message
}

async fn ask_of(server: &NameServer, request: &Message, udp: bool) -> Message {
    let bytes = request.to_vec().expect("a message");
    let reply = server.answer(&bytes, udp).await.expect("an answer");
    let reply = Message::from_vec(&reply).expect("a message");
    assert_eq!((reply.metadata.id, &reply.queries), (request.metadata.id, &request.queries));
    reply
}

async fn ask(name: &str, kind: RecordType) -> Message {
    let server = NameServer::default();
    server.set(&config());
    ask_of(&server, &question(name, kind), true).await
}

/// The answers as text: what stands behind name, time and class.
fn shown(reply: &Message) -> Vec<String> {
    let mut all: Vec<String> = reply.answers.iter().map(|r| format!("{} {}", r.record_type(), r.data)).collect();
    all.sort();
    all
}

async fn check(name: &str, kind: RecordType, code: ResponseCode, expected: &[&str]) {
    let reply = ask(name, kind).await;
    assert_eq!(reply.metadata.response_code, code, "{name} {kind}");
    assert_eq!(shown(&reply), expected, "{name} {kind}");
    let tells_no = expected.is_empty() && code != ResponseCode::ServFail && code != ResponseCode::Refused;
    assert_eq!(tells_no, reply.authorities.iter().any(|r| r.record_type() == RecordType::SOA), "{name} {kind}");
}

#[tokio::test]
async fn services_have_the_records_of_the_specification() {
    use RecordType::{A, AAAA, CNAME, PTR, SRV, TXT};
    use ResponseCode::{NXDomain, NoError};
    check("web.default.svc.cluster.local.", A, NoError, &["A 10.1.128.9"]).await;
    check("WEB.default.SVC.cluster.local.", A, NoError, &["A 10.1.128.9"]).await;
    check("web.default.svc.cluster.local.", AAAA, NoError, &[]).await;
    check("gone.default.svc.cluster.local.", A, NXDomain, &[]).await;
    check("web.gone.svc.cluster.local.", A, NXDomain, &[]).await;
    check("svc.cluster.local.", A, NoError, &[]).await;
    check("default.svc.cluster.local.", A, NoError, &[]).await;
    check("_http._tcp.web.default.svc.cluster.local.", SRV, NoError, &["SRV 0 100 80 web.default.svc.cluster.local."]).await;
    check("_http._udp.web.default.svc.cluster.local.", SRV, NXDomain, &[]).await;
    check("_tcp.web.default.svc.cluster.local.", SRV, NoError, &[]).await;
    check("9.128.1.10.in-addr.arpa.", PTR, NoError, &["PTR web.default.svc.cluster.local."]).await;
    check("dns-version.cluster.local.", TXT, NoError, &["TXT 1.1.0"]).await;
    check("inside.default.svc.cluster.local.", CNAME, NoError, &["CNAME web.default.svc.cluster.local."]).await;
    let chain = ["A 10.1.128.9", "CNAME web.default.svc.cluster.local."];
    check("inside.default.svc.cluster.local.", A, NoError, &chain).await;
}

#[tokio::test]
async fn both_families_have_records() {
    use RecordType::{A, AAAA, PTR, SRV};
    use ResponseCode::{NXDomain, NoError};
    check("both.default.svc.cluster.local.", A, NoError, &["A 10.1.128.8"]).await;
    check("both.default.svc.cluster.local.", AAAA, NoError, &["AAAA fd00::8008"]).await;
    let whole = |last: &str| {
        let zeros = 32 - 2 - last.split('.').count() - 2;
        format!("{last}.{}0.0.d.f.ip6.arpa.", "0.".repeat(zeros))
    };
    check(&whole("8.0.0.8"), PTR, NoError, &["PTR both.default.svc.cluster.local."]).await;
    check(&whole("5"), PTR, NoError, &["PTR six-0.six.default.svc.cluster.local."]).await;
    check("six.default.svc.cluster.local.", AAAA, NoError, &["AAAA fd00::5", "AAAA fd00::6"]).await;
    check("six.default.svc.cluster.local.", A, NoError, &["A 10.1.0.15"]).await;
    check("six-0.six.default.svc.cluster.local.", AAAA, NoError, &["AAAA fd00::5"]).await;
    check("fd00--6.six.default.svc.cluster.local.", AAAA, NoError, &["AAAA fd00::6"]).await;
    let srv = ["SRV 0 50 8080 fd00--6.six.default.svc.cluster.local.", "SRV 0 50 8080 six-0.six.default.svc.cluster.local."];
    check("_web._tcp.six.default.svc.cluster.local.", SRV, NoError, &srv).await;
    check("fd00--7.default.pod.cluster.local.", AAAA, NoError, &["AAAA fd00::7"]).await;
    check("fd00--7.default.pod.cluster.local.", A, NoError, &[]).await;
    check("fd00-1-2--7-8.default.pod.cluster.local.", AAAA, NoError, &["AAAA fd00:1:2::7:8"]).await;
    check("fd00--7--8.default.pod.cluster.local.", AAAA, NXDomain, &[]).await;
}

#[tokio::test]
async fn headless_services_name_their_ready_endpoints() {
    use RecordType::{A, PTR, SRV};
    use ResponseCode::{NXDomain, NoError};
    check("nginx.default.svc.cluster.local.", A, NoError, &["A 10.1.0.5", "A 10.1.0.6"]).await;
    check("web-0.nginx.default.svc.cluster.local.", A, NoError, &["A 10.1.0.5"]).await;
    check("10-1-0-6.nginx.default.svc.cluster.local.", A, NoError, &["A 10.1.0.6"]).await;
    check("web-2.nginx.default.svc.cluster.local.", A, NXDomain, &[]).await;
    check("web-3.nginx.default.svc.cluster.local.", A, NXDomain, &[]).await;
    check("empty.default.svc.cluster.local.", A, NXDomain, &[]).await;
    check("5.0.1.10.in-addr.arpa.", PTR, NoError, &["PTR web-0.nginx.default.svc.cluster.local."]).await;
    let reply = ask("_web._tcp.nginx.default.svc.cluster.local.", SRV).await;
    let expected = [
        "SRV 0 50 8080 10-1-0-6.nginx.default.svc.cluster.local.",
        "SRV 0 50 8080 web-0.nginx.default.svc.cluster.local.",
    ];
    assert_eq!(shown(&reply), expected);
    assert_eq!(reply.additionals.len(), 2);
}

#[tokio::test]
async fn pods_have_names_by_their_addresses() {
    use ResponseCode::{NXDomain, NoError};
    check("10-1-0-5.default.pod.cluster.local.", RecordType::A, NoError, &["A 10.1.0.5"]).await;
    check("10-1-0-5.gone.pod.cluster.local.", RecordType::A, NXDomain, &[]).await;
    check("10-1-0-x.default.pod.cluster.local.", RecordType::A, NXDomain, &[]).await;
}

#[tokio::test]
async fn other_questions_are_refused_as_they_should_be() {
    check("cluster.local.", RecordType::AXFR, ResponseCode::Refused, &[]).await;
    let server = NameServer::default();
    server.set(&config());
    let mut update = question("cluster.local.", RecordType::A);
    update.metadata.op_code = OpCode::Update;
    assert_eq!(ask_of(&server, &update, true).await.metadata.response_code, ResponseCode::NotImp);
    let mut two = question("a.cluster.local.", RecordType::A);
    two.add_query(Query::query(Name::from_ascii("b.").expect("a name"), RecordType::A));
    assert_eq!(ask_of(&server, &two, true).await.metadata.response_code, ResponseCode::FormErr);
    let mut new = question("web.default.svc.cluster.local.", RecordType::A);
    let mut edns = Edns::new();
    edns.set_version(1);
    new.set_edns(edns);
    let reply = ask_of(&server, &new, true).await;
    assert_eq!((u16::from(reply.metadata.response_code), reply.answers.len()), (u16::from(ResponseCode::BADVERS), 0));
    let mut reply = question("web.default.svc.cluster.local.", RecordType::A);
    reply.metadata.message_type = hickory_proto::op::MessageType::Response;
    assert_eq!(server.answer(&reply.to_vec().expect("a message"), true).await, None);
}

#[tokio::test]
async fn what_is_too_large_for_a_datagram_is_cut_and_whole_by_tcp() {
    let server = NameServer::default();
    server.set(&config());
    let mut request = question("many.other.svc.cluster.local.", RecordType::A);
    let small = ask_of(&server, &request, true).await;
    assert!(small.metadata.truncation && !small.answers.is_empty());
    assert!(small.to_vec().expect("a message").len() <= 512);
    let mut edns = Edns::new();
    edns.set_max_payload(4096);
    request.set_edns(edns);
    let larger = ask_of(&server, &request, true).await;
    assert!(larger.metadata.truncation && larger.answers.len() > small.answers.len() && larger.edns.is_some());
    let whole = ask_of(&server, &request, false).await;
    assert!(!whole.metadata.truncation && whole.answers.len() == 200);
}

/// A resolver of the rest of the world that knows one name, and how often it was asked.
async fn resolver() -> (SocketAddr, Arc<AtomicUsize>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let (at, asked) = (socket.local_addr().expect("an address"), Arc::new(AtomicUsize::new(0)));
    let count = asked.clone();
    tokio::spawn(async move {
        let mut buffer = vec![0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            count.fetch_add(1, Ordering::SeqCst);
            let request = Message::from_vec(&buffer[..length]).expect("a question");
            let mut reply = Message::response(request.metadata.id, OpCode::Query);
            reply.add_queries(request.queries.iter().cloned());
            let name = request.queries[0].name().clone();
            if name.to_ascii() == "db.example.test." {
                let address = RData::A(hickory_proto::rr::rdata::A(Ipv4Addr::new(192, 0, 2, 7)));
                reply.add_answer(Record::from_rdata(name, 60, address));
            } else {
                reply.metadata.response_code = ResponseCode::NXDomain;
            }
            let bytes = reply.to_vec().expect("a message");
            // A forged answer with another id comes first, and is not believed.
            let mut forged = bytes.clone();
            forged[0] ^= 0xff;
            let _ = socket.send_to(&forged, from).await;
            let _ = socket.send_to(&bytes, from).await;
        }
    });
    (at, asked)
}

#[tokio::test]
async fn other_names_are_asked_of_the_machines_resolvers_and_kept() {
    let (at, asked) = resolver().await;
    // One that does not answer is beside it.
    let deaf = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let server = NameServer::default();
    server.set(&GatewayConfig { upstreams: vec![deaf.local_addr().expect("an address"), at], ..config() });
    for _ in 0..3 {
        let reply = ask_of(&server, &question("db.example.test.", RecordType::A), true).await;
        assert_eq!(shown(&reply), ["A 192.0.2.7"]);
        assert!(!reply.metadata.authoritative && reply.metadata.recursion_available);
    }
    let reply = ask_of(&server, &question("outside.default.svc.cluster.local.", RecordType::A), true).await;
    assert_eq!(shown(&reply), ["A 192.0.2.7", "CNAME db.example.test."]);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    let reply = ask_of(&server, &question("no.example.test.", RecordType::A), true).await;
    assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain);
}

#[tokio::test(start_paused = true)]
async fn without_a_network_the_answer_comes_at_once() {
    let server = NameServer::default();
    server.set(&config());
    let begun = tokio::time::Instant::now();
    for name in ["example.test.", "other.test."] {
        let reply = ask_of(&server, &question(name, RecordType::A), true).await;
        assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    }
    assert!(begun.elapsed() < Duration::from_millis(1));
}

#[tokio::test]
async fn both_ways_to_ask_work_and_questions_may_follow_each_other() {
    let server = Arc::new(NameServer::default());
    server.set(&config());
    let at = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let task = tokio::spawn(serve(server, at));
    let request = question("web.default.svc.cluster.local.", RecordType::A);
    let bytes = request.to_vec().expect("a message");
    let mut stream = loop {
        match TcpStream::connect(at).await {
            Ok(stream) => break stream,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    for _ in 0..2 {
        let length = u16::try_from(bytes.len()).expect("short").to_be_bytes();
        stream.write_all(&[&length, &bytes[..]].concat()).await.expect("written");
        let mut reply = vec![0; usize::from(stream.read_u16().await.expect("a length"))];
        stream.read_exact(&mut reply).await.expect("an answer");
        assert_eq!(shown(&Message::from_vec(&reply).expect("a message")), ["A 10.1.128.9"]);
    }
    let client = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    client.send_to(b"nonsense that is longer than a header", at).await.expect("sent");
    client.send_to(&bytes, at).await.expect("sent");
    let mut buffer = vec![0; 512];
    loop {
        let count = client.recv(&mut buffer).await.expect("an answer");
        let reply = Message::from_vec(&buffer[..count]).expect("a message");
        if reply.metadata.id == request.metadata.id {
            assert_eq!(shown(&reply), ["A 10.1.128.9"]);
            break;
        }
    }
    task.abort();
}

proptest! {
    #[test]
    fn no_bytes_bring_it_down(bytes in proptest::collection::vec(any::<u8>(), 0..600), udp: bool) {
        hostile(&bytes, udp);
    }

    #[test]
    fn no_change_of_a_good_question_brings_it_down(at in 0usize..60, by: u8, cut in 0usize..60) {
        let mut bytes = question("_http._tcp.web.default.svc.cluster.local.", RecordType::SRV).to_vec().expect("a message");
        if let Some(byte) = bytes.get_mut(at) {
            *byte = by;
        }
        bytes.truncate(bytes.len().saturating_sub(cut));
        hostile(&bytes, true);
    }
}

/// Whatever is answered can be read, and is no larger than a datagram may be.
fn hostile(bytes: &[u8], udp: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    let server = NameServer::default();
    server.set(&config());
    if let Some(reply) = runtime.block_on(server.answer(bytes, udp)) {
        assert!(Message::from_vec(&reply).is_ok());
        assert!(!udp || reply.len() <= 1232);
    }
}
