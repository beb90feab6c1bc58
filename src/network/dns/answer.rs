//! One question and its answer.

use std::net::IpAddr;

use hickory_proto::op::{Edns, Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::zone::{Lookup, Node, Srv, Zone};

/// How long an answer may be kept (CoreDNS' kubernetes plugin: 5 s). Pods come and go.
const TTL: u32 = 5;
/// What this server takes by UDP (DNS flag day 2020).
const UDP_SIZE: u16 = 1232;
/// What every resolver takes by UDP.
const SMALLEST: u16 = 512;
/// Aliases that are followed inside the domain.
const ALIASES: usize = 8;

/// What is to be done with a question.
#[derive(Debug)]
pub enum Verdict {
    Answer(Message),
    /// Somebody else knows.
    Forward,
    /// The answer so far ends in a name that somebody else knows.
    Follow(Message, Query),
    /// Not worth an answer.
    Ignore,
}

/// Decides about one message. `turn` rotates addresses, so that clients who take the first spread.
pub fn answer(zone: &Zone, request: &Message, turn: usize) -> Verdict {
    use hickory_proto::op::MessageType;
    if request.metadata.message_type != MessageType::Query {
        return Verdict::Ignore;
    }
    let mut reply = reply_to(request);
    if request.metadata.op_code != OpCode::Query {
        return refuse(reply, ResponseCode::NotImp);
    }
    let [query] = &request.queries[..] else { return refuse(reply, ResponseCode::FormErr) };
    if request.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
        if let Some(edns) = &mut reply.edns {
            edns.set_rcode_high(ResponseCode::BADVERS.high());
        }
        return refuse(reply, ResponseCode::BADVERS);
    }
    if query.query_class() != DNSClass::IN {
        return refuse(reply, ResponseCode::Refused);
    }
    if matches!(query.query_type(), RecordType::AXFR | RecordType::IXFR) {
        return refuse(reply, ResponseCode::Refused);
    }
    if let Some(verdict) = reverse(zone, query, &mut reply) {
        return verdict;
    }
    forward_lookup(zone, query, reply, turn)
}

fn refuse(mut reply: Message, code: ResponseCode) -> Verdict {
    reply.metadata.response_code = code;
    Verdict::Answer(reply)
}

/// An answer with nothing in it yet.
pub fn reply_to(request: &Message) -> Message {
    let mut reply = Message::response(request.metadata.id, request.metadata.op_code);
    reply.metadata.recursion_desired = request.metadata.recursion_desired;
    reply.metadata.recursion_available = true;
    reply.metadata.checking_disabled = request.metadata.checking_disabled;
    reply.add_queries(request.queries.iter().cloned());
    if let Some(theirs) = &request.edns {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_SIZE).set_version(0).set_dnssec_ok(theirs.flags().dnssec_ok);
        reply.set_edns(edns);
    }
    reply
}

/// `None`: no question about an address of the cluster.
fn reverse(zone: &Zone, query: &Query, reply: &mut Message) -> Option<Verdict> {
    let text = query.name().to_lowercase().to_ascii();
    let address = arpa(text.trim_end_matches('.'))?;
    let names = zone.names_of(address)?;
    reply.metadata.authoritative = true;
    if matches!(query.query_type(), RecordType::PTR | RecordType::ANY) {
        for name in names {
            let Some(target) = full(zone, name) else { continue };
            reply.add_answer(Record::from_rdata(query.name().clone(), TTL, RData::PTR(PTR(target))));
        }
    }
    if reply.answers.is_empty() {
        reply.insert_authorities(soa(zone).into_iter().collect());
    }
    Some(Verdict::Answer(reply.clone()))
}

/// The address of `4.3.2.1.in-addr.arpa` and its like of IPv6.
fn arpa(name: &str) -> Option<IpAddr> {
    if let Some(octets) = name.strip_suffix(".in-addr.arpa") {
        let mut parts: Vec<&str> = octets.split('.').collect();
        parts.reverse();
        return parts.join(".").parse().ok().map(IpAddr::V4);
    }
    let mut digits: Vec<&str> = name.strip_suffix(".ip6.arpa")?.split('.').collect();
    if digits.len() != 32 || digits.iter().any(|d| d.len() != 1) {
        return None;
    }
    digits.reverse();
    u128::from_str_radix(&digits.concat(), 16).ok().map(|bits| IpAddr::V6(bits.into()))
}

fn forward_lookup(zone: &Zone, query: &Query, mut reply: Message, turn: usize) -> Verdict {
    let mut name = query.name().clone();
    for _ in 0..ALIASES {
        let text = name.to_ascii();
        let node = match zone.lookup(text.trim_end_matches('.')) {
            Lookup::Foreign if reply.answers.is_empty() => return Verdict::Forward,
            Lookup::Foreign => {
                let next = Query::query(name, query.query_type());
                return Verdict::Follow(reply, next);
            }
            Lookup::Unknown => {
                reply.metadata.authoritative = true;
                reply.metadata.response_code = ResponseCode::NXDomain;
                reply.insert_authorities(soa(zone).into_iter().collect());
                return Verdict::Answer(reply);
            }
            Lookup::Known(node) => node,
        };
        reply.metadata.authoritative = true;
        if let Some(alias) = &node.alias {
            let Ok(target) = Name::from_ascii(format!("{alias}.")) else {
                return refuse(reply, ResponseCode::ServFail);
            };
            reply.add_answer(Record::from_rdata(name.clone(), TTL, RData::CNAME(CNAME(target.clone()))));
            if matches!(query.query_type(), RecordType::CNAME | RecordType::ANY) {
                return Verdict::Answer(reply);
            }
            name = target;
            continue;
        }
        fill(zone, &mut reply, &name, query.query_type(), &node, turn);
        if reply.answers.is_empty() {
            reply.insert_authorities(soa(zone).into_iter().collect());
        }
        return Verdict::Answer(reply);
    }
    refuse(reply, ResponseCode::ServFail)
}

fn fill(zone: &Zone, reply: &mut Message, name: &Name, kind: RecordType, node: &Node, turn: usize) {
    let wants = |this: RecordType| kind == this || kind == RecordType::ANY;
    for record in addresses(name, node, kind, turn) {
        reply.add_answer(record);
    }
    if wants(RecordType::SRV) {
        // Each is as good as the others: the weight is shared (CoreDNS: 100 / number).
        let weight = u16::try_from(100 / node.services.len().max(1)).unwrap_or(1).max(1);
        for Srv { port, target } in &node.services {
            let Some(host) = full(zone, target) else { continue };
            reply.add_answer(Record::from_rdata(name.clone(), TTL, RData::SRV(SRV::new(0, weight, *port, host.clone()))));
            let known = reply.additionals.iter().any(|record| record.name == host);
            if let Some(node) = zone.node_of(target).filter(|_| !known) {
                reply.add_additionals(addresses(&host, node, RecordType::ANY, turn));
            }
        }
    }
    if let Some(text) = node.text.as_ref().filter(|_| wants(RecordType::TXT)) {
        reply.add_answer(Record::from_rdata(name.clone(), TTL, RData::TXT(TXT::new(vec![text.clone()]))));
    }
    let is_apex = name.to_lowercase().to_ascii().trim_end_matches('.') == zone.domain();
    if is_apex && wants(RecordType::SOA) {
        reply.add_answers(soa(zone));
    }
    if is_apex && wants(RecordType::NS) {
        let server = Name::from_ascii(format!("ns.dns.{}.", zone.domain())).ok();
        reply.add_answers(server.map(|server| Record::from_rdata(name.clone(), TTL, RData::NS(NS(server)))));
    }
}

fn addresses(name: &Name, node: &Node, kind: RecordType, turn: usize) -> Vec<Record> {
    let wanted = |address: &&IpAddr| match kind {
        RecordType::A => address.is_ipv4(),
        RecordType::AAAA => address.is_ipv6(),
        RecordType::ANY => true,
        _ => false,
    };
    let mut found: Vec<Record> = node
        .addresses
        .iter()
        .filter(wanted)
        .map(|address| {
            let data = match address {
                IpAddr::V4(v4) => RData::A(A(*v4)),
                IpAddr::V6(v6) => RData::AAAA(AAAA(*v6)),
            };
            Record::from_rdata(name.clone(), TTL, data)
        })
        .collect();
    if !found.is_empty() {
        let middle = turn % found.len();
        found.rotate_left(middle);
    }
    found
}

fn full(zone: &Zone, below: &str) -> Option<Name> {
    Name::from_ascii(format!("{below}.{}.", zone.domain())).ok()
}

/// Says for how long a "no" may be kept.
fn soa(zone: &Zone) -> Option<Record> {
    let domain = zone.domain();
    let name = Name::from_ascii(format!("{domain}.")).ok()?;
    let server = Name::from_ascii(format!("ns.dns.{domain}.")).ok()?;
    let mailbox = Name::from_ascii(format!("hostmaster.{domain}.")).ok()?;
    let data = SOA::new(server, mailbox, 1, 7200, 1800, 86_400, TTL);
    Some(Record::from_rdata(name, TTL, RData::SOA(data)))
}

/// The bytes of a reply, cut where a client by UDP would not take all of it.
pub fn encode(mut reply: Message, request: &Message, udp: bool) -> Option<Vec<u8>> {
    let limit = match &request.edns {
        _ if !udp => usize::from(u16::MAX),
        Some(edns) => usize::from(edns.max_payload().clamp(SMALLEST, UDP_SIZE)),
        None => usize::from(SMALLEST),
    };
    let bytes = reply.to_vec().ok()?;
    if bytes.len() <= limit {
        return Some(bytes);
    }
    reply.additionals.clear();
    loop {
        let bytes = reply.to_vec().ok()?;
        if bytes.len() <= limit {
            return Some(bytes);
        }
        reply.metadata.truncation = true;
        if reply.answers.is_empty() {
            return reply.truncate().to_vec().ok();
        }
        reply.answers.truncate(reply.answers.len() / 2);
    }
}
