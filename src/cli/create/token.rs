//! `wl create token`. Source: k8s.io/kubectl/pkg/cmd/create/create_token.go.

use serde_json::json;

use super::making::refused;
use crate::api::Json;
use crate::cli::change::{DryRun, Teller};
use crate::cli::print::flags::PrintFlags;
use crate::cli::{CliError, CliResult, Context, Exit};
use crate::client::{Ask, segment};

const KINDS: &[&str] = &["Node", "Pod", "Secret"];

/// Request a token of a ServiceAccount
#[derive(clap::Args)]
pub struct Token {
    #[arg(value_name = "SERVICEACCOUNT")]
    names: Vec<String>,
    /// Whom the token is for; may be repeated
    #[arg(long)]
    audience: Vec<String>,
    /// How long it lives
    #[arg(long, default_value = "0s", value_parser = crate::cli::flags::signed_duration, hide_default_value = true)]
    duration: jiff::SignedDuration,
    /// Pod, Secret or Node that it dies with
    #[arg(long, default_value = "", hide_default_value = true, value_name = "KIND")]
    bound_object_kind: String,
    /// Its name
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME")]
    bound_object_name: String,
    /// Its UID
    #[arg(long, default_value = "", hide_default_value = true, value_name = "UID")]
    bound_object_uid: String,
    #[command(flatten)]
    print: PrintFlags,
}

impl Token {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let [name] = self.names.as_slice() else {
            return Err(CliError::Usage(format!("exactly one NAME is required, got {}", self.names.len())));
        };
        let mut teller = Teller::new(ctx, &self.print, DryRun::None)?;
        self.check(name)?;
        let client = ctx.client_to_change().await?;
        let path = format!("/api/v1/namespaces/{}/serviceaccounts/{}/token", segment(ctx.namespace()), segment(name));
        let answer = client.send(Ask::new(http::Method::POST, path).json(&self.request())).await;
        let answer = answer.map_err(|e| refused(e.into(), "failed to create token:"))?.json()?;
        let token = answer.pointer("/status/token").and_then(Json::as_str).unwrap_or("");
        if token.is_empty() {
            return Err(CliError::message("failed to create token: no token in server response"));
        }
        if teller.has_format() {
            teller.tell(ctx, &answer, "created")?;
        } else if ctx.out.is_terminal() {
            ctx.out.line(token);
        } else {
            ctx.out.text(token);
        }
        Ok(Exit::Success)
    }

    fn check(&self, name: &str) -> Result<(), CliError> {
        let fail = |text: &str| Err(CliError::message(text));
        if name.is_empty() {
            return fail("service account name is required");
        }
        if self.duration.is_negative() {
            return fail("--duration must be greater than or equal to 0");
        }
        if self.duration.subsec_nanos() != 0 {
            return fail("--duration cannot be expressed in units less than seconds");
        }
        if self.audience.iter().any(String::is_empty) {
            return fail("--audience must not be an empty string");
        }
        match (self.bound_object_kind.as_str(), &self.bound_object_name, &self.bound_object_uid) {
            ("", name, _) if !name.is_empty() => fail("--bound-object-name can only be set if --bound-object-kind is provided"),
            ("", _, uid) if !uid.is_empty() => fail("--bound-object-uid can only be set if --bound-object-kind is provided"),
            ("", ..) => Ok(()),
            (kind, ..) if !KINDS.contains(&kind) => {
                fail(&format!("supported --bound-object-kind values are {}", KINDS.join(", ")))
            }
            (_, name, _) if name.is_empty() => fail("--bound-object-name is required if --bound-object-kind is provided"),
            _ => Ok(()),
        }
    }

    fn request(&self) -> Json {
        let mut spec = json!({"audiences": self.audience});
        if !self.duration.is_zero() {
            spec["expirationSeconds"] = self.duration.as_secs().into();
        }
        if !self.bound_object_kind.is_empty() {
            spec["boundObjectRef"] = json!({
                "kind": self.bound_object_kind,
                "apiVersion": "v1",
                "name": self.bound_object_name,
                "uid": self.bound_object_uid,
            });
        }
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec})
    }
}
