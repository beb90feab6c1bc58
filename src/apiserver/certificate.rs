//! The certificates by which pods know the API: an authority of the state's own, kept as a Secret, and one for the server
//! that it signs, made anew at each start.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use tokio_rustls::TlsAcceptor;

use crate::controllers;
use crate::registry::bootstrap;
use crate::store::Store;

/// These are certificates of one machine that nobody else trusts: they do not end, whatever its clock says.
const YEARS: (i32, i32) = (2020, 2120);

/// Who signs the API's certificate, as PEM.
#[derive(Clone)]
pub struct Authority {
    pub certificate: String,
    key: String,
}

impl Authority {
    /// The one of a store; made and kept there where it has none.
    pub async fn of(store: &Store) -> io::Result<Self> {
        if let Some(kept) = Authority::kept(store) {
            return Ok(kept);
        }
        let made = Authority::make().map_err(io::Error::other)?;
        let request = bootstrap::authority(&made.certificate, &made.key);
        let request = request.ok_or_else(|| io::Error::other("there are no Secrets"))?;
        match store.write(request).await {
            Ok(_) => Ok(made),
            // Another one was quicker, unless the store does not take it at all.
            Err(status) => Authority::kept(store).ok_or_else(|| io::Error::other(status.message)),
        }
    }

    fn kept(store: &Store) -> Option<Self> {
        let state = store.snapshot();
        let data = state.get(&controllers::authority())?.at("/data")?.clone();
        let text = |field: &str| String::from_utf8(STANDARD.decode(data.get(field)?.as_str()?).ok()?).ok();
        let kept = Authority { certificate: text("tls.crt")?, key: text("tls.key")? };
        // One that is damaged is no authority.
        KeyPair::from_pem(&kept.key).is_ok().then_some(kept)
    }

    fn make() -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate()?;
        let certificate = Authority::params()?.self_signed(&key)?;
        Ok(Authority { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// The same for every authority but for its key.
    fn params() -> Result<CertificateParams, rcgen::Error> {
        let mut params = params("wl", Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(params)
    }

    /// What secures connections to a server that is called by these names and addresses.
    pub fn acceptor(&self, names: &[String], addresses: &[IpAddr]) -> io::Result<TlsAcceptor> {
        let (certificate, key) = self.sign(names, addresses).map_err(io::Error::other)?;
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(io::Error::other)?.with_no_client_auth();
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).map_err(io::Error::other)?;
        let mut config = builder.with_single_cert(vec![certificate.der().clone()], key).map_err(io::Error::other)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config).into())
    }

    fn sign(&self, names: &[String], addresses: &[IpAddr]) -> Result<(rcgen::Certificate, KeyPair), rcgen::Error> {
        let mut params = params("kube-apiserver", names.to_vec())?;
        params.subject_alt_names.extend(addresses.iter().copied().map(SanType::IpAddress));
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let own = Authority::params()?;
        let issuer = Issuer::from_params(&own, KeyPair::from_pem(&self.key)?);
        let key = KeyPair::generate()?;
        Ok((params.signed_by(&key, &issuer)?, key))
    }
}

fn params(name: &str, names: Vec<String>) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(YEARS.0, 1, 1);
    params.not_after = date_time_ymd(YEARS.1, 1, 1);
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Settings;
    use rustls::pki_types::{CertificateDer, ServerName};
    use rustls::{ClientConfig, RootCertStore};
    use tokio_rustls::TlsConnector;

    async fn handshake(authority: &Authority, acceptor: &TlsAcceptor, name: &'static str) -> bool {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.certificate.as_bytes()).expect("PEM")).expect("an authority");
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("versions");
        let connector = TlsConnector::from(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()));
        let (near, far) = tokio::io::duplex(1 << 14);
        let client = connector.connect(ServerName::try_from(name).expect("a name"), near);
        let (client, _) = tokio::join!(client, acceptor.accept(far));
        client.is_ok()
    }

    #[tokio::test]
    async fn who_trusts_the_authority_knows_the_server_by_its_names_and_addresses_alone() {
        let store = Store::in_memory(Settings::default());
        store.bootstrap().await.expect("the first objects are made");
        let authority = Authority::of(&store).await.expect("an authority");
        let names = ["kubernetes.default.svc".to_owned()];
        let acceptor = authority.acceptor(&names, &[IpAddr::from([10, 1, 128, 1])]).expect("an acceptor");
        for (name, known) in [("kubernetes.default.svc", true), ("10.1.128.1", true), ("10.1.128.2", false), ("web", false)] {
            assert_eq!(handshake(&authority, &acceptor, name).await, known, "{name}");
        }
        // It is kept, and the next start's certificate is known to who trusted it before.
        let again = Authority::of(&store).await.expect("an authority");
        assert_eq!(again.certificate, authority.certificate);
        let acceptor = again.acceptor(&names, &[]).expect("an acceptor");
        assert!(handshake(&authority, &acceptor, "kubernetes.default.svc").await);
        let other = Authority::make().expect("another one");
        assert!(!handshake(&other, &acceptor, "kubernetes.default.svc").await, "of another state");
    }
}
