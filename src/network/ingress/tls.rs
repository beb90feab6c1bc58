//! Certificates, chosen by the name that a client asks for.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::routing::covers;
use crate::network::config::Certificate;

/// By host, in order; an empty host is for all others.
#[derive(Debug)]
struct Certificates(Vec<(String, Arc<CertifiedKey>)>);

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().unwrap_or_default();
        let exact = |(host, _): &&(String, Arc<CertifiedKey>)| !host.is_empty() && host.eq_ignore_ascii_case(name);
        let wild = |(host, _): &&(String, Arc<CertifiedKey>)| covers(host, name);
        let other = |(host, _): &&(String, Arc<CertifiedKey>)| host.is_empty();
        let all = || self.0.iter();
        let found = all().find(exact).or_else(|| all().find(wild)).or_else(|| all().find(other)).or_else(|| all().next());
        found.map(|(_, key)| key.clone())
    }
}

/// How connections are secured; `None`: there is no certificate that can be used.
pub fn acceptor(certificates: &[Certificate]) -> Option<tokio_rustls::TlsAcceptor> {
    let mut all = Vec::new();
    for certificate in certificates {
        match key(certificate) {
            Ok(key) if certificate.hosts.is_empty() => all.push((String::new(), key)),
            Ok(key) => all.extend(certificate.hosts.iter().map(|host| (host.clone(), key.clone()))),
            Err(why) => eprintln!("the certificate for {:?} cannot be used: {why}", certificate.hosts),
        }
    }
    if all.is_empty() {
        return None;
    }
    let provider = Arc::new(ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(Certificates(all)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Some(Arc::new(config).into())
}

fn key(certificate: &Certificate) -> Result<Arc<CertifiedKey>, String> {
    let chain: Result<Vec<CertificateDer<'static>>, _> =
        CertificateDer::pem_slice_iter(certificate.chain.as_bytes()).collect();
    let chain = chain.map_err(|e| e.to_string())?;
    if chain.is_empty() {
        return Err("it is empty".into());
    }
    let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes()).map_err(|e| e.to_string())?;
    let key = ring::sign::any_supported_type(&key).map_err(|e| e.to_string())?;
    Ok(Arc::new(CertifiedKey::new(chain, key)))
}
