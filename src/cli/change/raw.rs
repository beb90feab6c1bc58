//! `--raw`: a file as it is, sent to a path of the API. Source: k8s.io/kubectl/pkg/rawhttp/raw.go, and the checks of
//! k8s.io/kubectl/pkg/cmd/{create,replace,delete}.

use http::Method;

use super::DryRun;
use crate::cli::input::Files;
use crate::cli::print::flags::go_error;
use crate::cli::{CliError, CliResult, Context, Exit};
use crate::client::Ask;

/// Where to send what, in place of objects.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Raw {
    /// Send the file to this path of the API as it is
    #[arg(long = "raw", default_value = "", hide_default_value = true, value_name = "PATH")]
    path: String,
}

impl Raw {
    pub fn is_given(&self) -> bool {
        !self.path.is_empty()
    }

    /// The flag against the others; `output`: that of `-o`.
    pub fn check(&self, files: &Files, output: &str) -> Result<(), CliError> {
        let fail = |text: &str| Err(CliError::message(text));
        match files.filename.as_slice() {
            _ if !self.is_given() => Ok(()),
            [file] if file.starts_with("http://") || file.starts_with("https://") => fail("--raw cannot read from a url"),
            [_, _, ..] => fail("--raw can only use a single local file or stdin"),
            _ if files.recursive => fail("--raw and --recursive are mutually exclusive"),
            _ if !output.is_empty() => fail("--raw and --output are mutually exclusive"),
            _ if !self.path.starts_with('/') => {
                fail(&format!("--raw must be a valid URL path: parse \"{}\": invalid URI for request", self.path))
            }
            _ => Ok(()),
        }
    }

    /// Sends the file, if there is one, and prints the answer.
    pub async fn send(&self, ctx: &mut Context, method: Method, files: &Files, dry_run: DryRun) -> CliResult {
        let body = match files.filename.as_slice() {
            [] => Vec::new(),
            [stdin] if stdin == "-" => files.read(ctx).await?.into_iter().next().map(|i| i.bytes).unwrap_or_default(),
            [file, ..] => std::fs::read(ctx.cwd.join(file)).map_err(|e| CliError::message(not_read(file, &e)))?,
        };
        let client = dry_run.client(ctx).await?;
        let answer = client.send(Ask::new(method, self.path.as_str()).bytes("application/json", body)).await?;
        ctx.out.raw(&answer.body);
        Ok(Exit::Success)
    }
}

/// Which step of Go's it is that fails: a folder can be opened, and not read.
fn not_read(file: &str, error: &std::io::Error) -> String {
    let step = if error.kind() == std::io::ErrorKind::IsADirectory { "read" } else { "open" };
    format!("{step} {file}: {}", go_error(error))
}
