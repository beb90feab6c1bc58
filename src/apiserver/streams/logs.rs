//! `pods/NAME/log`.
//! Source: pkg/registry/core/pod/strategy.go: LogLocation; pkg/registry/core/pod/rest/log.go.

use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use jiff::Timestamp;

use super::super::Server;
use super::super::answer::{Reply, full};
use super::super::query::Query;
use super::{container, no_streams};
use crate::api::validation::field::{self, Path};
use crate::api::{Object, Status, status::quote};

/// What of a container's log is wanted (`PodLogOptions`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogOptions {
    pub container: String,
    pub follow: bool,
    pub previous: bool,
    pub timestamps: bool,
    pub since_seconds: Option<i64>,
    pub since_time: Option<Timestamp>,
    pub tail_lines: Option<i64>,
    pub limit_bytes: Option<i64>,
    /// `All`, `Stdout` or `Stderr`; `None`: all.
    pub stream: Option<String>,
}

pub(super) async fn logs(server: &Server, pod: &Object, mut options: LogOptions) -> Result<Reply, Status> {
    options.container = container(pod, &options.container)?;
    if pod.str_at("/spec/nodeName").unwrap_or("").is_empty() {
        return Ok(Reply { code: 204, media: String::new(), headers: Vec::new(), body: full("") });
    }
    let Some(streams) = &server.streams else { return Err(no_streams()) };
    let bytes = streams.logs(pod, options).await?;
    let frames = futures_util::StreamExt::map(bytes, |bytes| Ok::<_, std::convert::Infallible>(Frame::data(bytes)));
    let body = StreamBody::new(frames).boxed_unsync();
    Ok(Reply { code: 200, media: "text/plain".into(), headers: Vec::new(), body })
}

/// Reads and checks `PodLogOptions` (pkg/apis/core/validation: ValidatePodLogOptions).
pub(super) fn log_options(query: &Query, name: &str) -> Result<LogOptions, Status> {
    let since_time = match query.text("sinceTime") {
        None => None,
        Some(text) => Some(text.parse::<Timestamp>().map_err(|_| bad_time(text))?),
    };
    let options = LogOptions {
        container: query.text("container").unwrap_or("").to_owned(),
        follow: query.flag("follow"),
        previous: query.flag("previous"),
        timestamps: query.flag("timestamps"),
        since_seconds: query.number("sinceSeconds")?,
        since_time,
        tail_lines: query.number("tailLines")?,
        limit_bytes: query.number("limitBytes")?,
        stream: query.text("stream").map(str::to_owned),
    };
    let mut errors = Vec::new();
    if let Some(lines) = options.tail_lines.filter(|n| *n < 0) {
        errors.push(field::invalid(&Path::new("tailLines"), lines, "must be greater than or equal to 0"));
    }
    if let Some(bytes) = options.limit_bytes.filter(|n| *n < 1) {
        errors.push(field::invalid(&Path::new("limitBytes"), bytes, "must be greater than 0"));
    }
    match (options.since_seconds, options.since_time) {
        (Some(_), Some(_)) => {
            let why = "at most one of `sinceTime` or `sinceSeconds` may be specified";
            errors.push(field::forbidden(&Path::root(), why));
        }
        (Some(seconds), None) if seconds < 1 => {
            errors.push(field::invalid(&Path::new("sinceSeconds"), seconds, "must be greater than 0"));
        }
        _ => {}
    }
    if options.stream.is_some() {
        errors.push(field::forbidden(&Path::new("stream"), "may not be specified"));
    }
    if errors.is_empty() { Ok(options) } else { Err(Status::invalid("", "PodLogOptions", name, &errors)) }
}

fn bad_time(text: &str) -> Status {
    let value = quote(text);
    Status::bad_request(format!(
        "parsing time {value} as \"2006-01-02T15:04:05Z07:00\": cannot parse {value} as \"2006\""
    ))
}
