//! Requests for certificates: who is to be named in one.
//! Source: k8s.io/kubectl/pkg/describe/describe.go (`describeCertificateSigningRequest`); RFC 2986, RFC 5280.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::SignedDuration;

use super::Related;
use super::document::Document;
use super::events::events;
use crate::api::tree::Tree;
use crate::api::{Json, shown};

const BEGIN: &str = "-----BEGIN CERTIFICATE REQUEST-----";
const END: &str = "-----END CERTIFICATE REQUEST-----";

/// Attributes of a subject, by the last number of their identifiers (2.5.4.x), in the order shown.
const SUBJECT: [(&str, u8); 7] = [
    ("Organization", 10),
    ("Organizational Unit", 11),
    ("Country", 6),
    ("Locality", 7),
    ("Province", 8),
    ("StreetAddress", 9),
    ("PostalCode", 17),
];
const COMMON_NAME: u8 = 3;
const SERIAL_NUMBER: u8 = 5;
/// 1.2.840.113549.1.9.14: the extensions asked for.
const EXTENSIONS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e];
/// 2.5.29.17: other names of the subject.
const OTHER_NAMES: &[u8] = &[0x55, 0x1d, 0x11];

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const IDENTIFIER: u8 = 0x06;
const OCTETS: u8 = 0x04;
const BMP: u8 = 0x1e;
const ATTRIBUTES: u8 = 0xa0;

/// What a request asks to be certified.
#[derive(Debug, Default, PartialEq)]
pub struct Request {
    /// The last number of the attribute, and its value.
    subject: Vec<(u8, String)>,
    dns: Vec<String>,
    emails: Vec<String>,
    uris: Vec<String>,
    addresses: Vec<String>,
}

/// Tags and contents, one behind the other.
struct Der<'b>(&'b [u8]);

impl<'b> Iterator for Der<'b> {
    type Item = (u8, &'b [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match usize::from(first) {
            short if short < 0x80 => (short, rest),
            long => {
                let (digits, rest) = rest.split_at_checked(long - 0x80).filter(|(digits, _)| digits.len() <= 4)?;
                (digits.iter().fold(0, |all, byte| all << 8 | usize::from(*byte)), rest)
            }
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }
}

impl Request {
    /// Reads `spec.request`.
    pub fn parse(object: &Json) -> Result<Self, String> {
        let pem = STANDARD.decode(object.field("spec").text("request")).unwrap_or_default();
        let pem = String::from_utf8_lossy(&pem);
        let body = pem.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END)).map(|(body, _)| body);
        let body: String = body.into_iter().flat_map(str::chars).filter(|c| !c.is_whitespace()).collect();
        let wrong_block = || "PEM block type must be CERTIFICATE REQUEST".to_owned();
        let der = STANDARD.decode(&body).ok().filter(|der| !der.is_empty()).ok_or_else(wrong_block)?;
        Request::of_der(&der).ok_or_else(|| "x509: malformed certificate request".to_owned())
    }

    fn of_der(der: &[u8]) -> Option<Self> {
        let (_, whole) = Der(der).next().filter(|(tag, _)| *tag == SEQUENCE)?;
        let (_, info) = Der(whole).next().filter(|(tag, _)| *tag == SEQUENCE)?;
        let (_, subject) = Der(info).nth(1).filter(|(tag, _)| *tag == SEQUENCE)?;
        let mut request = Request::default();
        for (_, set) in Der(subject).filter(|(tag, _)| *tag == SET) {
            for (_, pair) in Der(set) {
                let mut pair = Der(pair);
                let (tag, identifier) = pair.next()?;
                let (kind, value) = pair.next()?;
                if let (IDENTIFIER, [0x55, 0x04, number]) = (tag, identifier) {
                    request.subject.push((*number, text(kind, value)));
                }
            }
        }
        let attributes = Der(info).find(|(tag, _)| *tag == ATTRIBUTES).map_or(&[][..], |(_, content)| content);
        for (_, attribute) in Der(attributes) {
            let mut parts = Der(attribute);
            if parts.next() == Some((IDENTIFIER, EXTENSIONS)) {
                let (_, set) = parts.next()?;
                let (_, extensions) = Der(set).next()?;
                Der(extensions).for_each(|(_, extension)| request.extension(extension));
            }
        }
        Some(request)
    }

    fn extension(&mut self, extension: &[u8]) {
        let mut parts = Der(extension);
        if parts.next() != Some((IDENTIFIER, OTHER_NAMES)) {
            return;
        }
        let Some((_, names)) = parts.find(|(tag, _)| *tag == OCTETS) else { return };
        let Some((_, names)) = Der(names).next() else { return };
        for (tag, name) in Der(names) {
            let text = || String::from_utf8_lossy(name).into_owned();
            match tag {
                0x81 => self.emails.push(text()),
                0x82 => self.dns.push(text()),
                0x86 => self.uris.push(text()),
                0x87 => self.addresses.extend(address(name).map(|a| a.to_string())),
                _ => {}
            }
        }
    }

    fn of(&self, number: u8) -> Vec<&str> {
        self.subject.iter().filter(|(n, _)| *n == number).map(|(_, value)| value.as_str()).collect()
    }
}

fn text(kind: u8, value: &[u8]) -> String {
    if kind != BMP {
        return String::from_utf8_lossy(value).into_owned();
    }
    let units: Vec<u16> = value.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    String::from_utf16_lossy(&units)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

pub fn request(doc: &mut Document, object: &Json, related: &Related) {
    let (metadata, spec) = (object.field("metadata"), object.field("spec"));
    doc.name(object);
    doc.field(0, "Labels", shown::labels(metadata.field("labels")));
    doc.field(0, "Annotations", shown::labels(metadata.field("annotations")));
    doc.created(object);
    doc.field(0, "Requesting User", spec.text("username"));
    doc.some_field(0, "Signer", spec.text("signerName"));
    if let Some(seconds) = spec.opt_int("expirationSeconds") {
        doc.field(0, "Requested Duration", shown::human(SignedDuration::from_secs(seconds)));
    }
    doc.field(0, "Status", status(object.field("status")));
    if let Some(request) = &related.request {
        names(doc, request);
    }
    events(doc, related.events());
}

fn names(doc: &mut Document, request: &Request) {
    let one = |number: u8| request.of(number).last().copied().unwrap_or("").to_owned();
    doc.line(0, "Subject:");
    doc.field(0, "\tCommon Name", one(COMMON_NAME));
    doc.field(0, "\tSerial Number", one(SERIAL_NUMBER));
    for (title, number) in SUBJECT {
        list(doc, title, &request.of(number));
    }
    let others = [
        ("DNS Names", &request.dns),
        ("Email Addresses", &request.emails),
        ("URIs", &request.uris),
        ("IP Addresses", &request.addresses),
    ];
    if others.iter().any(|(_, names)| !names.is_empty()) {
        doc.line(0, "Subject Alternative Names:");
    }
    for (title, names) in others {
        list(doc, title, &names.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

fn list(doc: &mut Document, title: &str, values: &[&str]) {
    if !values.is_empty() {
        doc.field(0, &format!("\t{title}"), values.join("\n\t\t"));
    }
}

/// Source: `extractCSRStatus`.
fn status(status: &Json) -> String {
    let has = |kind: &str| status.list("conditions").iter().any(|c| c.text("type") == kind);
    let mut shown = match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (false, true) => "Approved",
        (false, false) => "Pending",
    }
    .to_owned();
    if has("Failed") {
        shown.push_str(",Failed");
    }
    if !status.text("certificate").is_empty() {
        shown.push_str(",Issued");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const PEM_BODY: &str = "MIIBQzCB6gIBADArMQ0wCwYDVQQDDARqYW5lMQ0wCwYDVQQKDARkZXZzMQswCQYD\
        VQQGEwJERTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABCa0iGPspY5ve+TFUuls\
        KYbG3iYEJzGIGQD4EpU5Fde5kRdVK8OVlunB4jEC0oRjeQwV2MmPts+mO7att7Ox\
        OUCgXTBbBgkqhkiG9w0BCQ4xTjBMMEoGA1UdEQRDMEGCDWEuZXhhbXBsZS5jb22C\
        DWIuZXhhbXBsZS5jb22HBAoAAAGBDWpAZXhhbXBsZS5jb22GDHNwaWZmZTovL3gv\
        eTAKBggqhkjOPQQDAgNIADBFAiEA96snlZEn3MxCzy0CExqYZTu/JPnWYihB09a1\
        x3C0nOwCIFu6kGOp1fQADlex8NO/ZtfMguyFihf236pPNex50XCf";

    fn asking(pem: &str) -> Json {
        json!({"spec": {"request": STANDARD.encode(pem)}})
    }

    #[test]
    fn the_names_of_a_request_are_read() {
        let request = Request::parse(&asking(&format!("{BEGIN}\n{PEM_BODY}\n{END}\n"))).unwrap();
        assert_eq!(request.of(COMMON_NAME), ["jane"]);
        assert_eq!(request.of(10), ["devs"]);
        assert_eq!(request.dns, ["a.example.com", "b.example.com"]);
        assert_eq!(request.addresses, ["10.0.0.1"]);
        assert_eq!((request.emails, request.uris), (vec!["j@example.com".into()], vec!["spiffe://x/y".into()]));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        assert!(Request::parse(&asking("hello")).unwrap_err().starts_with("PEM block type"));
        for cut in 1..PEM_BODY.len() / 4 {
            let whole = STANDARD.decode(PEM_BODY).unwrap();
            let _ = Request::of_der(&whole[..cut.min(whole.len())]);
        }
        assert_eq!(Request::of_der(&[SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
