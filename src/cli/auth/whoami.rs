//! `wl auth whoami`. Source: k8s.io/kubectl/pkg/cmd/auth/whoami.go.

use http::Method;
use serde_json::json;

use crate::api::tree::Tree;
use crate::cli::print::flags::{Offer, PrintFlags};
use crate::api::go;
use crate::cli::print::table::{Align, render};
use crate::cli::{CliError, CliResult, Context, Exit};
use crate::client::Ask;

#[derive(clap::Args)]
pub struct Whoami {
    #[command(flatten)]
    print: PrintFlags,
}

impl Whoami {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        let format = self.print.format(&ctx.cwd, Offer::Change)?;
        let client = ctx.client().await?;
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let ask = Ask::new(Method::POST, "/apis/authentication.k8s.io/v1/selfsubjectreviews").json(&review);
        let answer = client.send(ask).await.map_err(|error| match error.status().map(|s| s.reason.as_str()) {
            Some("NotFound") => CliError::message("the selfsubjectreviews API is not enabled in the cluster"),
            Some("Forbidden") => CliError::message(
                "the selfsubjectreviews API is not enabled in the cluster or you do not have permission to call it",
            ),
            _ => error.into(),
        })?;
        let review = answer.json()?;
        if let Some(format) = format {
            let (text, result) = format.render(&review, true);
            ctx.out.raw(text.as_bytes());
            result?;
            return Ok(Exit::Success);
        }
        let user = review.field("status").field("userInfo");
        let mut rows = vec![["ATTRIBUTE".to_owned(), "VALUE".to_owned()]];
        for (title, field) in [("Username", "username"), ("UID", "uid")] {
            if !user.text(field).is_empty() {
                rows.push([title.to_owned(), user.text(field).to_owned()]);
            }
        }
        if !user.list("groups").is_empty() {
            rows.push(["Groups".to_owned(), go::display(user.field("groups"))]);
        }
        rows.extend(user.entries("extra").into_iter().map(|(key, values)| [format!("Extra: {key}"), go::display(values)]));
        let rows: Vec<Vec<String>> = rows.into_iter().map(Vec::from).collect();
        ctx.out.text(&render(&rows, Align::LastColumnOpen));
        Ok(Exit::Success)
    }
}
