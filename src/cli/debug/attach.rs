//! Attaching to a debug container.

use super::super::session::fresh::{Fresh, LOOK, Met};
use super::super::session::{self, Ended};
use super::super::{CliResult, Context, Exit};
use super::{Debug, Made};
use crate::client::Client;
use crate::engine::clock;

/// So often is looked for the exit code of a container whose log has ended.
const LOOKS_AT_END: u32 = 50;

pub(super) async fn attach(ctx: &mut Context, client: &Client, made: &Made, flags: &Debug) -> CliResult {
    let fresh = Fresh {
        pod: &made.pod,
        container: &made.container,
        stdin: flags.stdin,
        tty: flags.tty,
        quiet: flags.quiet,
        patience: None,
    };
    let ended = match fresh.meet(ctx, client).await? {
        Met::Logged => return Ok(Exit::Success),
        Met::Followed(Ended::Code(0)) => Ended::Code(exit_code(client, &fresh).await),
        Met::Followed(ended) | Met::Attached(ended) => ended,
    };
    session::report(ctx, &ended)
}

/// How the container has ended; the log ends a little before the status says so.
async fn exit_code(client: &Client, fresh: &Fresh<'_>) -> i32 {
    for _ in 0..LOOKS_AT_END {
        let status = fresh.status(client).await.ok().and_then(|(_, status)| status);
        let code = status.and_then(|s| s.pointer("/state/terminated/exitCode")?.as_i64());
        if let Some(code) = code {
            return i32::try_from(code).unwrap_or(1);
        }
        clock::sleep(LOOK).await;
    }
    0
}
