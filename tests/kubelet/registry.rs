//! The scenarios' registry, `reg.test:5000`. Podman finds it under that name in the instances of `podman-env`.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use sha2::{Digest, Sha256};
use wl::podman::Podman;

/// Where `podman-env` has the name lead to.
const ADDRESS: &str = "127.0.0.1:5000";
/// Of the scenarios' user `u` with the password `p`.
const LOGIN: &str = "Basic dTpw";
/// Of what comes slowly.
const SLOW: Duration = Duration::from_millis(1500);
/// What scenarios pull, below `reg.test:5000`.
const PULLED: [&str; 9] =
    ["tool", "slow/tool", "private/tool", "p1/tool", "p2/tool", "p3/tool", "p4/tool", "p5/tool", "p6/tool"];

/// One image under many names.
struct Image {
    manifest: Bytes,
    /// By digest: the configuration and the only layer.
    blobs: [(String, Bytes); 2],
}

/// Serves an image of these files for as long as this process lives, unless another does so already.
pub fn serve(root: Bytes) {
    let Ok(listener) = TcpListener::bind(ADDRESS) else { return };
    let image = Arc::new(Image::new(root));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let image = image.clone();
            std::thread::spawn(move || {
                let _ = answer(&image, stream);
            });
        }
    });
}

/// What earlier runs have pulled has to be pulled again.
pub async fn forget(podman: &Podman) {
    for name in PULLED {
        podman.remove_images_of(&format!("reg.test:5000/{name}")).await.expect("what nobody uses can be removed");
    }
}

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

impl Image {
    fn new(root: Bytes) -> Self {
        let layer = digest(&root);
        let config = json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "os": "linux",
            "config": {
                "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                "Cmd": ["/t"],
            },
            "rootfs": {"type": "layers", "diff_ids": [layer]},
        });
        let config = Bytes::from(config.to_string());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(&config), "size": config.len(),
            },
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": root.len()}],
        });
        Image { manifest: manifest.to_string().into(), blobs: [(digest(&config), config), (layer, root)] }
    }

    /// Status, media type and body for a path.
    fn get(&self, path: &str, login: &str) -> (&'static str, &'static str, Bytes) {
        let Some((repository, kind, reference)) = split(path) else {
            // Podman asks here what proof of itself it may be asked for later on.
            return if path == "/v2/" && login.is_empty() {
                denied()
            } else {
                ("200 OK", "application/json", "{}".into())
            };
        };
        match repository.split_once('/').map_or("", |(first, _)| first) {
            "broken" => return ("500 Internal Server Error", "text/plain", Bytes::new()),
            "private" if login != LOGIN => return denied(),
            "slow" if kind == "manifests" => std::thread::sleep(SLOW),
            _ => {}
        }
        let known = PULLED.contains(&repository);
        let missing = |code: &str| {
            let body = json!({"errors": [{"code": code, "message": code.to_lowercase().replace('_', " ")}]});
            ("404 Not Found", "application/json", Bytes::from(body.to_string()))
        };
        match kind {
            "manifests" if known && (reference == "1" || reference == digest(&self.manifest)) => {
                ("200 OK", "application/vnd.oci.image.manifest.v1+json", self.manifest.clone())
            }
            "manifests" => missing("MANIFEST_UNKNOWN"),
            _ => match self.blobs.iter().find(|(name, _)| known && name == reference) {
                Some((_, bytes)) => ("200 OK", "application/octet-stream", bytes.clone()),
                None => missing("BLOB_UNKNOWN"),
            },
        }
    }
}

fn denied() -> (&'static str, &'static str, Bytes) {
    let body = json!({"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]});
    ("401 Unauthorized", "application/json", body.to_string().into())
}

/// `/v2/REPOSITORY/manifests/REFERENCE`, or `blobs`.
fn split(path: &str) -> Option<(&str, &str, &str)> {
    let rest = path.strip_prefix("/v2/")?;
    ["manifests", "blobs"].into_iter().find_map(|kind| {
        let (repository, reference) = rest.split_once(&format!("/{kind}/"))?;
        Some((repository, kind, reference))
    })
}

fn answer(image: &Image, stream: TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let (mut login, mut words) = (String::new(), first.split_whitespace());
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some((_, value)) = line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("authorization")) {
            value.trim().clone_into(&mut login);
        }
    }
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (status, media_type, body) = image.get(path, &login);
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\nDocker-Content-Digest: {}\r\n\
         Docker-Distribution-Api-Version: registry/2.0\r\nConnection: close\r\n",
        body.len(),
        digest(&body)
    )?;
    if status.starts_with("401") {
        write!(stream, "WWW-Authenticate: Basic realm=\"reg.test\"\r\n")?;
    }
    stream.write_all(b"\r\n")?;
    if method != "HEAD" {
        stream.write_all(&body)?;
    }
    stream.flush()
}
