//! Whether a certificate and a private key belong together, in the words of Go's `tls.X509KeyPair`
//! (crypto/tls/tls.go).

use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

pub fn check_pair(cert: &[u8], key: &[u8]) -> Result<(), String> {
    let certificates = certificates(cert)?;
    let key = private_key(key)?;
    let signer = default_provider().key_provider.load_private_key(key).map_err(|_| "tls: failed to parse private key")?;
    let pair = CertifiedKey::new(certificates, Arc::clone(&signer));
    match pair.keys_match() {
        Ok(()) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => Err("tls: private key does not match public key".into()),
        Err(error) => Err(format!("x509: malformed certificate: {error}")),
    }
}

fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let labels = labels(text);
    if !labels.iter().any(|l| l == "CERTIFICATE") {
        return Err(match labels.as_slice() {
            [] => "tls: failed to find any PEM data in certificate input".into(),
            [one] if one.ends_with("PRIVATE KEY") => "tls: failed to find certificate PEM data in certificate input, but \
                                                      did find a private key; PEM inputs may have been switched"
                .into(),
            other => format!(
                "tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of the \
                 following types: [{}]",
                other.join(" ")
            ),
        });
    }
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    all.map_err(|_| "x509: malformed certificate".to_owned())
}

fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    let labels = labels(text);
    if !labels.iter().any(|l| l.ends_with("PRIVATE KEY")) {
        return Err(match labels.as_slice() {
            [] => "tls: failed to find any PEM data in key input".into(),
            [one] if one == "CERTIFICATE" => {
                "tls: found a certificate rather than a key in the PEM for the private key".into()
            }
            other => format!(
                "tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after skipping PEM blocks \
                 of the following types: [{}]",
                other.join(" ")
            ),
        });
    }
    PrivateKeyDer::from_pem_slice(text).map_err(|_| "tls: failed to parse private key".to_owned())
}

/// What the PEM blocks of a text hold.
fn labels(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let begins = text.lines().filter_map(|line| line.trim().strip_prefix("-----BEGIN ")?.strip_suffix("-----"));
    begins.filter(|label| text.contains(&format!("-----END {label}-----"))).map(str::to_owned).collect()
}
