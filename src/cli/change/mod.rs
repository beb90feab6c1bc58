//! What the commands that change objects share: `--dry-run`, who manages the fields, telling the result.

pub mod deletion;
pub mod marks;
pub mod overrides;
pub mod pairs;
pub mod raw;

use bytes::Bytes;

use super::input::Files;
use super::print::flags::{Format, Offer, PrintFlags};
use super::resources::{Info, Infos, Selection};
use super::{CliError, Context};
use crate::api::Json;
use crate::client::{Ask, Client, ClientError};

/// `--dry-run`, as kubectl takes it. Source: k8s.io/kubectl/pkg/cmd/util/helpers.go, `GetDryRunStrategy`.
#[derive(clap::Args, Clone, Debug)]
pub struct DryRunFlag {
    /// none, server or client: show what would be done
    #[arg(long, num_args = 0..=1, default_value = "none", default_missing_value = "unchanged", require_equals = true, hide_default_value = true, value_name = "MODE")]
    dry_run: String,
}

impl Default for DryRunFlag {
    fn default() -> Self {
        DryRunFlag { dry_run: "none".into() }
    }
}

/// How far a change goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DryRun {
    None,
    /// The server is not asked to change anything.
    Client,
    /// The server says what would become of it.
    Server,
}

impl DryRunFlag {
    /// The mode, without a word about old spellings; none where the text is no mode.
    pub fn known(&self) -> DryRun {
        match self.dry_run.as_str() {
            "server" => DryRun::Server,
            "client" | "unchanged" => DryRun::Client,
            text if super::flags::boolean_value(text) == Ok(true) => DryRun::Client,
            _ => DryRun::None,
        }
    }

    /// The mode; tells of spellings that are old, and refuses others.
    pub fn mode(&self, ctx: &mut Context) -> Result<DryRun, CliError> {
        let text = self.dry_run.as_str();
        let (mode, instead) = match (text, super::flags::boolean_value(text)) {
            ("none", _) => return Ok(DryRun::None),
            ("client", _) => return Ok(DryRun::Client),
            ("server", _) => return Ok(DryRun::Server),
            ("unchanged", _) => (DryRun::Client, "--dry-run is deprecated and can be replaced with --dry-run=client".into()),
            (_, Ok(true)) => (DryRun::Client, deprecated_boolean(text, "client")),
            (_, Ok(false)) => (DryRun::None, deprecated_boolean(text, "none")),
            (_, Err(_)) => {
                let text = format!("Invalid dry-run value ({text}). Must be \"none\", \"server\", or \"client\".");
                return Err(CliError::message(text));
            }
        };
        ctx.warn(&format!("{instead}."));
        Ok(mode)
    }
}

fn deprecated_boolean(given: &str, instead: &str) -> String {
    format!("--dry-run={given} is deprecated (boolean value) and can be replaced with --dry-run={instead}")
}

impl DryRun {
    /// What stands behind the word that says what was done.
    pub fn suffix(self) -> &'static str {
        match self {
            DryRun::None => "",
            DryRun::Client => " (dry run)",
            DryRun::Server => " (server dry run)",
        }
    }

    /// The server to talk to: one that may be changed only if something is to be changed.
    pub async fn client(self, ctx: &mut Context) -> Result<Client, CliError> {
        match self {
            DryRun::None => ctx.client_to_change().await,
            DryRun::Client | DryRun::Server => ctx.client().await,
        }
    }

    /// A request that changes something, or only says what it would.
    pub fn ask(self, ask: Ask) -> Ask {
        match self {
            DryRun::None | DryRun::Client => ask,
            DryRun::Server => ask.query("dryRun", "All"),
        }
    }
}

/// Tells what became of objects: a line each, or the objects in the format asked for.
pub struct Teller {
    format: Option<Format>,
    dry_run: DryRun,
    managed_fields: bool,
    told: usize,
}

impl Teller {
    pub fn new(ctx: &Context, print: &PrintFlags, dry_run: DryRun) -> Result<Self, CliError> {
        let format = print.format(&ctx.cwd, Offer::Change)?;
        Ok(Teller { format, dry_run, managed_fields: print.show_managed_fields, told: 0 })
    }

    /// Whether objects are printed in a format, not told of in words.
    pub fn has_format(&self) -> bool {
        self.format.is_some()
    }

    /// `pod/web labeled`, or the object; several YAML objects are apart by `---`.
    pub fn tell(&mut self, ctx: &mut Context, object: &Json, done: &str) -> Result<(), CliError> {
        let Some(format) = &self.format else {
            let name = super::print::flags::name(object);
            ctx.out.line(&format!("{name} {done}{}", self.dry_run.suffix()));
            return Ok(());
        };
        if matches!(format, Format::Yaml | Format::Kyaml) && self.told > 0 {
            ctx.out.text("---\n");
        }
        self.told += 1;
        let mut object = object.clone();
        if !self.managed_fields {
            super::get::hide_managed_fields(&mut object, format);
        }
        let (text, result) = format.render(&object, true);
        ctx.out.text(&text);
        result
    }
}

/// The objects that a generator starts from: those named, or those of files as they stand there.
pub async fn start(ctx: &mut Context, args: &[String], files: &Files, dry_run: DryRun) -> Result<Infos, CliError> {
    dry_run.client(ctx).await?;
    let selection = Selection { args: args.to_vec(), files: files.clone(), ..Selection::default() };
    if files.is_empty() {
        return selection.fetch(ctx).await;
    }
    // Arguments and files exclude each other.
    selection.targets(ctx).await?;
    files.infos(ctx).await
}

/// Patches an object in place; the server's warnings are told.
pub async fn patch(
    ctx: &mut Context,
    client: &Client,
    info: &Info,
    dry_run: DryRun,
    manager: &str,
    (media, body): (&str, &Json),
) -> Result<Json, ClientError> {
    let ask = Ask::new(http::Method::PATCH, info.path()).query("fieldManager", manager);
    let answer = client.send(dry_run.ask(ask.bytes(media, Bytes::from(body.to_string())))).await?;
    ctx.warn_all(&answer.warnings);
    answer.json()
}

/// The media types of patches.
pub const MERGE: &str = "application/merge-patch+json";
pub const STRATEGIC: &str = "application/strategic-merge-patch+json";
pub const JSON_PATCH: &str = "application/json-patch+json";
