//! `wl get`: objects as tables or in any format. Source: k8s.io/kubectl/pkg/cmd/get.

mod generic;
mod human;
mod sort;
mod watch;

pub use generic::hide_managed_fields;

use super::input::Files;
use super::print::flags::{Format, Offer, PrintFlags};
use super::resources::{Selection, TABLE};
use super::{CliError, CliResult, Context, Exit, complete};
use crate::api::status::quote;
use crate::client::Ask;

/// Print objects: a table, or any format with -o
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  wl get pods -o wide\n  wl get deploy,rs -l app=web\n  wl get pod web -o jsonpath='{.status.podIP}'\n  wl get pods -w")]
pub struct Get {
    /// TYPE[,TYPE…] [NAME…], or TYPE/NAME …
    #[arg(add = complete::resources())]
    args: Vec<String>,
    #[command(flatten)]
    print: PrintFlags,
    #[command(flatten)]
    files: Files,
    /// Only objects with these labels: `a=b,c!=d,e in (f,g),!h`
    #[arg(short = 'l', long, default_value = "", hide_default_value = true)]
    selector: String,
    /// Only objects with these fields: `status.phase=Running`
    #[arg(long, default_value = "", hide_default_value = true)]
    field_selector: String,
    /// In all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// After the list, print every change
    #[arg(short = 'w', long)]
    watch: bool,
    /// Print every change, without the list
    #[arg(long)]
    watch_only: bool,
    /// With -w: what happened, not only the object
    #[arg(long)]
    output_watch_events: bool,
    /// Order by the field that this path finds: `.metadata.name`
    #[arg(long)]
    sort_by: Option<String>,
    /// Labels to show as columns
    #[arg(short = 'L', long, value_delimiter = ',')]
    label_columns: Vec<String>,
    /// All labels as the last column
    #[arg(long)]
    show_labels: bool,
    /// Names with their kind: `pod/web`
    #[arg(long)]
    show_kind: bool,
    /// Without the head line
    #[arg(long)]
    no_headers: bool,
    /// An object that is not there is no error
    #[arg(long)]
    ignore_not_found: bool,
    /// How many objects one answer holds at most
    #[arg(long, default_value_t = 500, value_parser = super::flags::integer, hide_default_value = true)]
    chunk_size: i64,
    /// Print what this path of the API answers
    #[arg(long, default_value = "", hide_default_value = true, value_name = "PATH")]
    raw: String,
    /// A part of the object: `status`, `scale`, `resize`
    #[arg(long, default_value = "", hide_default_value = true)]
    subresource: String,
    /// Let the server lay out the table
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    server_print: bool,
}

impl Get {
    pub async fn run(&self, ctx: &mut Context) -> CliResult {
        if !self.raw.is_empty() {
            return self.raw(ctx).await;
        }
        let format = self.print.format(&ctx.cwd, Offer::Get)?.unwrap_or(Format::Table { wide: false });
        self.check(ctx, &format)?;
        if self.watch || self.watch_only {
            return watch::run(self, ctx, &format).await;
        }
        let wide = match &format {
            Format::Table { wide } => *wide,
            _ => return generic::run(self, ctx, &format).await,
        };
        human::run(self, ctx, wide).await
    }

    fn check(&self, ctx: &mut Context, format: &Format) -> Result<(), CliError> {
        if self.args.is_empty() && self.files.is_empty() {
            ctx.err.text(
                "You must specify the type of resource to get. Use \"wl api-resources\" for a complete list of supported \
                 resources.\n\n",
            );
            return Err(CliError::Usage(
                "Required resource not specified.\nUse \"wl explain <resource>\" for a detailed description of that \
                 resource (e.g. wl explain pods)."
                    .into(),
            ));
        }
        if self.show_labels && !format.is_table() {
            return Err(CliError::message(format!("--show-labels option cannot be used with {} printer", self.print.output)));
        }
        if self.output_watch_events && !(self.watch || self.watch_only) {
            return Err(CliError::Usage("--output-watch-events option can only be used with --watch or --watch-only".into()))
                .map_err(|e| CliError::message(e.text()));
        }
        Ok(())
    }

    /// What is asked of the server; `table`: for the server's columns.
    fn selection(&self, table: bool) -> Selection {
        let given = |text: &String| (!text.is_empty()).then(|| text.clone());
        let sorted = self.sort_by.is_some();
        let mut query = Vec::new();
        if table && sorted {
            query.push(("includeObject".to_owned(), "Object".to_owned()));
        }
        Selection {
            args: self.args.clone(),
            files: self.files.clone(),
            labels: given(&self.selector),
            fields: given(&self.field_selector),
            all_namespaces: self.all_namespaces,
            subresource: self.subresource.clone(),
            type_alone: true,
            chunk: if sorted { 0 } else { self.chunk_size },
            accept: if table { TABLE.into() } else { String::new() },
            query,
            all: false,
            deed: None,
        }
    }

    async fn raw(&self, ctx: &mut Context) -> CliResult {
        if !self.args.is_empty() || !self.files.is_empty() {
            return Err(CliError::message("arguments may not be passed when --raw is specified"));
        }
        if self.watch || self.watch_only || !self.selector.is_empty() {
            return Err(CliError::Usage(
                "--raw may not be specified with other flags that filter the server request or alter the output".into(),
            ));
        }
        if !self.print.output.is_empty() {
            return Err(CliError::message("--raw and --output are mutually exclusive"));
        }
        if !self.raw.starts_with('/') {
            return Err(CliError::message(format!("--raw must be a valid URL path: parse {}: invalid URI for request", quote(&self.raw))));
        }
        let client = ctx.client().await?;
        let mut lines = client.lines(Ask::get(self.raw.as_str())).await?;
        while let Some(chunk) = lines.chunk().await? {
            ctx.out.raw(&chunk);
        }
        Ok(Exit::Success)
    }
}
