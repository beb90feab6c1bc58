//! Projected volumes: several sources in one directory.

use std::collections::BTreeSet;

use super::super::field::{self, Errors, Path};
use super::super::{names, rules, selector};
use super::mounts::local_path_not_reserved;
use super::spec::Options;
use super::volumes::{downward_file, key_to_path, mode};
use crate::api::Json;
use crate::api::tree::Tree;

const TOKEN_SECONDS_MIN: i64 = 600;
const TOKEN_SECONDS_MAX: i64 = 1 << 32;
/// An hour; and 91 days, what a signer may be asked for at most.
const CERTIFICATE_SECONDS: std::ops::RangeInclusive<i64> = 3600..=7_862_400;
const KEY_TYPES: [&str; 6] = ["ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519", "RSA3072", "RSA4096"];

pub(super) fn validate(source: &Json, path: &Path, options: &Options) -> Errors {
    let mut errors = mode(source, "defaultMode", path);
    let mut paths: BTreeSet<String> = BTreeSet::new();
    for (index, source) in source.list("sources").iter().enumerate() {
        let at = path.child("sources").index(index);
        let kinds = ["secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate"];
        let set: Vec<&str> = kinds.into_iter().filter(|kind| source.has(kind)).collect();
        for kind in &set {
            let found = source.field(kind);
            let mut place = Place { volume: path, at: at.child(kind), paths: &mut paths };
            errors.extend(match *kind {
                "secret" | "configMap" => place.keys(found),
                "downwardAPI" => place.downward(found),
                "serviceAccountToken" => place.token(found, options),
                "clusterTrustBundle" => place.trust_bundle(found),
                _ => place.certificate(found),
            });
        }
        if set.len() > 1 {
            errors.push(field::forbidden(&at, "may not specify more than 1 volume type per source"));
        }
    }
    errors
}

/// Where a source stands, and the files before it.
struct Place<'a> {
    volume: &'a Path,
    at: Path,
    paths: &'a mut BTreeSet<String>,
}

impl Place<'_> {
    /// The file is new in the volume; `shown` is what an error names.
    fn take(&mut self, file: &str, shown: &str) -> Errors {
        if self.paths.insert(file.to_owned()) {
            return Errors::new();
        }
        vec![field::invalid(self.volume, shown, "conflicting duplicate paths")]
    }

    fn keys(&mut self, source: &Json) -> Errors {
        let mut errors = Errors::new();
        let name = source.text("name");
        if name.is_empty() {
            errors.push(field::required(&self.at.child("name"), ""));
        }
        for (index, item) in source.list("items").iter().enumerate() {
            errors.extend(key_to_path(item, &self.at.child("items").index(index)));
            if !item.text("path").is_empty() {
                errors.extend(self.take(item.text("path"), name));
            }
        }
        errors
    }

    fn downward(&mut self, source: &Json) -> Errors {
        let mut errors = Errors::new();
        for file in source.list("items") {
            errors.extend(downward_file(file, &self.at));
            let name = file.text("path");
            if !name.is_empty() {
                errors.extend(self.take(name, name));
            }
        }
        errors
    }

    fn token(&mut self, token: &Json, options: &Options) -> Errors {
        let (seconds, at) = (token.int("expirationSeconds"), self.at.child("expirationSeconds"));
        let mut errors = Errors::new();
        if seconds < TOKEN_SECONDS_MIN {
            errors.push(field::invalid(&at, seconds, "may not specify a duration less than 10 minutes"));
        }
        if seconds > TOKEN_SECONDS_MAX {
            errors.push(field::invalid(&at, seconds, "may not specify a duration larger than 2^32 seconds"));
        }
        let file = token.text("path");
        if file.is_empty() {
            errors.push(field::required(&self.volume.child("path"), ""));
        } else if !options.any_token_path {
            errors.extend(local_path_not_reserved(file, &self.volume.child("path")));
        }
        errors
    }

    fn trust_bundle(&mut self, bundle: &Json) -> Errors {
        let mut errors = Errors::new();
        match (bundle.opt_text("name"), bundle.opt_text("signerName")) {
            (Some(_), Some(_)) => {
                let detail = "only one of name and signerName may be used";
                errors.push(rules::invalid_struct(&self.at, "ClusterTrustBundleProjection", bundle, detail));
            }
            (Some(name), None) => {
                let at = self.at.child("name");
                if name.is_empty() {
                    errors.push(field::required(&at, "must be a valid object name"));
                }
                let wrong = trust_bundle_name(name).into_iter();
                errors.extend(wrong.map(|m| field::invalid(&at, name, &format!("not a valid clustertrustbundlename: {m}"))));
                if bundle.has("labelSelector") {
                    let at = self.at.child("labelSelector");
                    let detail = "labelSelector must be unset if name is specified";
                    errors.push(rules::invalid_selector(&at, bundle.field("labelSelector"), detail));
                }
            }
            (None, Some(signer)) => {
                let at = self.at.child("signerName");
                if signer.is_empty() {
                    errors.push(field::required(&at, "must be a valid signer name"));
                }
                errors.extend(signer_name(signer, &at));
                let at = self.at.child("labelSelector");
                errors.extend(selector::label_selector(bundle.get("labelSelector"), &at));
            }
            (None, None) => errors.push(field::required(&self.at, "either name or signerName must be specified")),
        }
        let file = bundle.text("path");
        if file.is_empty() {
            errors.push(field::required(&self.at.child("path"), ""));
        }
        errors.extend(local_path_not_reserved(file, &self.at.child("path")));
        errors.extend(self.take(file, file));
        errors
    }

    fn certificate(&mut self, certificate: &Json) -> Errors {
        let mut errors = signer_name(certificate.text("signerName"), &self.at.child("signerName"));
        let kind = certificate.text("keyType");
        if !KEY_TYPES.contains(&kind) {
            errors.push(field::not_supported(&self.at.child("keyType"), kind, &KEY_TYPES));
        }
        if let Some(seconds) = certificate.opt_int("maxExpirationSeconds") {
            let at = self.at.child("maxExpirationSeconds");
            if seconds < *CERTIFICATE_SECONDS.start() {
                let detail = "if provided, maxExpirationSeconds must be >= 3600";
                errors.push(field::invalid(&at, seconds, detail));
            } else if seconds > *CERTIFICATE_SECONDS.end() {
                let detail = format!("if provided, maxExpirationSeconds must be <= {}", CERTIFICATE_SECONDS.end());
                errors.push(field::invalid(&at, seconds, &detail));
            }
        }
        let files = ["credentialBundlePath", "keyPath", "certificateChainPath"];
        if files.iter().all(|name| certificate.text(name).is_empty()) {
            let detail = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath";
            errors.push(field::required(&self.at, detail));
        }
        for name in files {
            let file = certificate.text(name);
            if !file.is_empty() {
                errors.extend(local_path_not_reserved(file, &self.at.child(name)));
                errors.extend(self.take(file, file));
            }
        }
        errors
    }
}

/// `example.com:signer:name`, or a name without a signer. Source: pkg/apis/certificates/validation.
fn trust_bundle_name(name: &str) -> Vec<String> {
    match name.rsplit_once(':') {
        Some((_, rest)) => names::dns1123_subdomain(rest),
        None => names::dns1123_subdomain(name),
    }
}

/// `example.com/name`: a domain of two labels at least, and a path. Source: pkg/apis/core/validation/names.go.
fn signer_name(name: &str, path: &Path) -> Errors {
    if name.is_empty() {
        return vec![field::required(path, "")];
    }
    let Some((domain, rest)) = name.split_once('/') else {
        return vec![field::invalid(path, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'")];
    };
    let mut errors = rules::each(path, domain, names::dns1123_subdomain(domain));
    if !domain.contains('.') {
        errors.push(field::invalid(path, domain, "should be a domain with at least two segments separated by dots"));
    }
    for part in rest.split('.') {
        errors.extend(rules::each(path, part, names::dns1123_subdomain(part)));
    }
    errors
}

/// A token is an account's, so a Pod with one names its account.
pub(super) fn tokens_without_account(spec: &Json, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (index, volume) in spec.list("volumes").iter().enumerate() {
        let path = path.child("volumes").index(index).child("projected").child("sources");
        for (index, source) in volume.field("projected").list("sources").iter().enumerate() {
            if source.has("serviceAccountToken") {
                let at = path.index(index).child("serviceAccountToken");
                errors.push(field::forbidden(&at, "must not be specified when serviceAccountName is not set"));
            }
        }
    }
    errors
}

/// Whether a token of a PodSpec is written to a path that is no plain one.
pub(super) fn has_odd_token_path(spec: &Json) -> bool {
    let sources = spec.list("volumes").iter().flat_map(|v| v.field("projected").list("sources"));
    sources.into_iter().any(|source| {
        let file = source.field("serviceAccountToken").text("path");
        !local_path_not_reserved(file, &Path::root()).is_empty()
    })
}
