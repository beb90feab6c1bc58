//! Which form of an answer a client wants.
//! Source: k8s.io/apiserver/pkg/endpoints/handlers/negotiation/negotiate.go.

use hyper::HeaderMap;
use hyper::header::ACCEPT;
use serde::Serialize;
use serde_json::json;

use crate::api::Status;

/// The encoding of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    Json,
    PrettyJson,
    Yaml,
}

impl Media {
    pub fn name(self) -> &'static str {
        match self {
            Media::Json | Media::PrettyJson => "application/json",
            Media::Yaml => "application/yaml",
        }
    }

    pub fn write(self, tree: &impl Serialize) -> Vec<u8> {
        match self {
            Media::Json => {
                let mut bytes = serde_json::to_vec(tree).unwrap_or_default();
                bytes.push(b'\n');
                bytes
            }
            Media::PrettyJson => serde_json::to_vec_pretty(tree).unwrap_or_default(),
            Media::Yaml => serde_yaml::to_string(tree).unwrap_or_default().into_bytes(),
        }
    }
}

/// What an answer is turned into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum As {
    /// The object or list itself.
    Object,
    /// `Table` of `meta.k8s.io` in this version.
    Table(String),
    /// `PartialObjectMetadata` or its list, in this version.
    Metadata { of_list: bool, version: String },
    /// `APIGroupDiscoveryList`.
    Discovery,
}

/// What the client accepts first of what there is.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub media: Media,
    pub what: As,
}

/// Which transformations an answer knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// One object.
    Object,
    /// A list or a watch, where streams are known too.
    List,
    /// Discovery of `/api` and `/apis`.
    Groups,
    /// Everything else.
    Plain,
}

const MEDIA: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
const STREAMS: &str = "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";

struct Clause {
    kind: String,
    parameters: Vec<(String, String)>,
    quality: f32,
}

fn clauses(headers: &HeaderMap) -> Vec<Clause> {
    let text: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|v| v.to_str().ok()).collect();
    let mut found: Vec<Clause> = text
        .join(",")
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| {
            let mut pieces = part.split(';').map(str::trim);
            let kind = pieces.next().unwrap_or("").to_ascii_lowercase();
            let mut quality = 1.0;
            let mut parameters = Vec::new();
            for (name, value) in pieces.filter_map(|p| p.split_once('=')) {
                if name == "q" {
                    quality = value.parse().unwrap_or(1.0);
                } else {
                    parameters.push((name.to_owned(), value.to_owned()));
                }
            }
            Clause { kind, parameters, quality }
        })
        .collect();
    found.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    found
}

/// The form of the answer, or 406.
pub fn accept(headers: &HeaderMap, endpoint: Endpoint) -> Result<Accepted, Status> {
    let clauses = clauses(headers);
    if clauses.is_empty() {
        return Ok(Accepted { media: Media::Json, what: As::Object });
    }
    clauses.iter().find_map(|clause| take(clause, endpoint)).ok_or_else(|| not_acceptable(endpoint))
}

fn take(clause: &Clause, endpoint: Endpoint) -> Option<Accepted> {
    let mut media = match clause.kind.as_str() {
        "application/json" | "*/*" => Media::Json,
        "application/yaml" => Media::Yaml,
        _ => return None,
    };
    let parameter = |name: &str| clause.parameters.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    if parameter("pretty") == Some("1") && media == Media::Json {
        media = Media::PrettyJson;
    }
    if parameter("charset").is_some_and(|c| !c.eq_ignore_ascii_case("utf-8")) {
        return None;
    }
    let (kind, group, version) = (parameter("as"), parameter("g").unwrap_or(""), parameter("v").unwrap_or(""));
    let meta = group == "meta.k8s.io" && matches!(version, "v1" | "v1beta1");
    let what = match (kind, endpoint) {
        (None, _) => As::Object,
        (Some("Table"), Endpoint::Object | Endpoint::List) if meta => As::Table(version.to_owned()),
        (Some("PartialObjectMetadata" | "PartialObjectMetadataList"), Endpoint::Object | Endpoint::List) if meta => {
            As::Metadata { of_list: kind == Some("PartialObjectMetadataList"), version: version.to_owned() }
        }
        (Some("APIGroupDiscoveryList"), Endpoint::Groups) if group == "apidiscovery.k8s.io" && version == "v2" => {
            As::Discovery
        }
        _ => return None,
    };
    Some(Accepted { media, what })
}

fn not_acceptable(endpoint: Endpoint) -> Status {
    let accepted = if endpoint == Endpoint::List { format!("{MEDIA}, {STREAMS}") } else { MEDIA.to_owned() };
    if endpoint == Endpoint::Groups || endpoint == Endpoint::Plain {
        let message = format!("only the following media types are accepted: {accepted}");
        return Status::new(406, "NotAcceptable", message);
    }
    let message = format!("406: Not Acceptable\n\nAvailable representations: {accepted}");
    Status::new(406, "NotAcceptable", message).with_details(json!({}))
}

/// The encoding of refusals: YAML only for who asks for it.
pub fn errors_as(headers: &HeaderMap) -> Media {
    accept(headers, Endpoint::Object).map_or(Media::Json, |accepted| accepted.media)
}
