//! Answers: bytes with a media type, warnings, streams.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::Response;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde::Serialize;

use super::negotiate::Media;
use crate::api::{Json, Status};

pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What a request is answered with.
pub(crate) struct Reply {
    pub code: u16,
    pub media: String,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Body,
}

pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

impl Reply {
    pub fn text(code: u16, text: impl Into<String>) -> Self {
        Reply { code, media: "text/plain; charset=utf-8".into(), headers: Vec::new(), body: full(text.into()) }
    }

    pub fn bytes(code: u16, media: impl Into<String>, bytes: Vec<u8>) -> Self {
        Reply { code, media: media.into(), headers: Vec::new(), body: full(bytes) }
    }

    /// A tree in the media type that was asked for.
    pub fn tree(code: u16, media: Media, tree: &impl Serialize) -> Self {
        Reply::bytes(code, media.name(), media.write(tree))
    }

    pub fn with_warnings(mut self, warnings: &[String]) -> Self {
        for text in warnings {
            if let Ok(value) = HeaderValue::from_bytes(warning(text).as_bytes()) {
                self.headers.push((HeaderName::from_static("warning"), value));
            }
        }
        self
    }

    pub fn into_response(self) -> Response<Body> {
        let mut response = Response::new(self.body);
        *response.status_mut() = hyper::StatusCode::from_u16(self.code).unwrap_or(hyper::StatusCode::OK);
        let headers = response.headers_mut();
        if !self.media.is_empty()
            && let Ok(media) = HeaderValue::from_str(&self.media) {
                headers.insert(CONTENT_TYPE, media);
            }
        headers.insert("cache-control", HeaderValue::from_static("no-cache, private"));
        for (name, value) in self.headers {
            headers.append(name, value);
        }
        response
    }
}

/// The value of a `Warning` header (apimachinery/pkg/util/net: NewWarningHeader).
fn warning(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            c if c.is_control() => quoted.push(' '),
            c => quoted.push(c),
        }
    }
    format!("299 - \"{quoted}\"")
}

/// The connection ends with this answer: what else comes on it is not read.
pub(crate) fn closing(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert("connection", HeaderValue::from_static("close"));
    response
}

/// A refusal as an answer.
pub(crate) fn status(status: &Status, media: Media) -> Response<Body> {
    let mut reply = Reply::tree(status.code, media, &tidy(status.json()));
    let retry = status.details.as_ref().and_then(|d| d.get("retryAfterSeconds")).and_then(Json::as_i64);
    if let Some(seconds) = retry {
        reply.headers.push((HeaderName::from_static("retry-after"), HeaderValue::from(seconds)));
    }
    reply.with_warnings(&status.warnings).into_response()
}

/// Empty texts are left out, as Go's `omitempty` does.
fn tidy(mut body: Json) -> Json {
    let empty = |value: &Json| value.as_str() == Some("");
    if let Some(map) = body.as_object_mut() {
        map.retain(|key, value| key == "metadata" || !empty(value));
    }
    if let Some(details) = body.get_mut("details").and_then(Json::as_object_mut) {
        details.retain(|_, value| !empty(value));
        if let Some(causes) = details.get_mut("causes").and_then(Json::as_array_mut) {
            for cause in causes.iter_mut().filter_map(Json::as_object_mut) {
                cause.retain(|_, value| !empty(value));
            }
        }
    }
    body
}
