//! The command line: one file per command; answers to stdout, notes to stderr.

mod annotate;
mod api_resources;
mod api_versions;
mod apply;
mod attach;
mod auth;
mod autoscale;
mod backup;
mod change;
mod cluster_info;
mod complete;
mod completion;
mod config;
mod context;
mod cordon;
mod cp;
mod create;
mod debug;
mod declare;
mod delete;
mod describe;
pub mod diagnose;
mod diff;
mod doctor;
mod down;
mod drain;
mod edit;
mod error;
mod events;
mod exec;
mod exit;
mod explain;
mod expose;
mod flags;
mod get;
mod given;
pub mod input;
mod kustomize;
mod label;
mod lint;
mod logs;
mod open;
mod patch;
mod plan;
mod port_forward;
pub mod print;
mod project;
mod prune;
mod replace;
mod reset;
pub mod resources;
mod restore;
mod rollout;
mod run;
mod scale;
pub mod session;
mod set;
mod taint;
mod terminal;
mod top;
mod up;
mod usage;
mod version;
pub mod wait;
mod wait_for;
mod watch;
mod watch_install;

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use clap::{Args, FromArgMatches};

#[cfg(feature = "internals")]
pub use context::Server;
pub use context::{Context, World};
pub use error::CliError;
pub use exit::Exit;
pub use flags::GlobalFlags;
pub use terminal::Output;

/// What a command gives back.
pub type CliResult = Result<Exit, CliError>;

#[derive(clap::Args)]
struct Cli {
    #[command(flatten)]
    flags: GlobalFlags,
    #[command(subcommand)]
    command: Option<Command>,
}

/// The commands: the variant's name is the word on the command line, the struct its arguments.
macro_rules! commands {
    ($($(#[$attribute:meta])* $variant:ident($arguments:path),)*) => {
        #[derive(clap::Subcommand)]
        enum Command {
            $($(#[$attribute])* $variant(Box<$arguments>),)*
        }

        impl Command {
            /// The tree of the command that is called by this word, alone.
            fn tree_of(word: &str) -> Option<clap::Command> {
                $(
                    let name = kebab(stringify!($variant));
                    if name == word {
                        return Some(<$arguments as clap::Args>::augment_args(clap::Command::new(name)));
                    }
                )*
                None
            }

            async fn run(&self, ctx: &mut Context) -> CliResult {
                match self {
                    $(Command::$variant(arguments) => arguments.run(ctx).await,)*
                }
            }
        }
    };
}

commands! {
    Annotate(annotate::Annotate),
    ApiResources(api_resources::ApiResources),
    ApiVersions(api_versions::ApiVersions),
    Apply(apply::Apply),
    Attach(attach::Attach),
    Auth(auth::Auth),
    Autoscale(autoscale::Autoscale),
    Backup(backup::Backup),
    ClusterInfo(cluster_info::ClusterInfo),
    Completion(completion::Completion),
    Config(config::Config),
    Cordon(cordon::Cordon),
    Cp(cp::Cp),
    Create(create::Create),
    Debug(debug::Debug),
    Delete(delete::Delete),
    Describe(describe::Describe),
    Diff(diff::Diff),
    Doctor(doctor::Doctor),
    Down(down::Down),
    Drain(drain::Drain),
    Edit(edit::Edit),
    Events(events::Events),
    Exec(exec::Exec),
    Explain(explain::Explain),
    Expose(expose::Expose),
    Get(get::Get),
    Kustomize(kustomize::Kustomize),
    Label(label::Label),
    Lint(lint::Lint),
    Logs(logs::Logs),
    Open(open::Open),
    Patch(patch::Patch),
    Plan(plan::Plan),
    PortForward(port_forward::PortForward),
    Replace(replace::Replace),
    Reset(reset::Reset),
    Restore(restore::Restore),
    Rollout(rollout::Rollout),
    Run(run::Run),
    Scale(scale::Scale),
    Set(set::Set),
    Taint(taint::Taint),
    Top(top::Top),
    Uncordon(cordon::Uncordon),
    Up(up::Up),
    Version(version::Version),
    Wait(wait_for::Wait),
    Watch(watch::Watch),
}

/// A variant's name as clap makes a word of it.
fn kebab(variant: &str) -> String {
    let mut word = String::with_capacity(variant.len() + 1);
    for (at, letter) in variant.char_indices() {
        if at > 0 && letter.is_ascii_uppercase() {
            word.push('-');
        }
        word.push(letter.to_ascii_lowercase());
    }
    word
}

fn program() -> clap::Command {
    clap::Command::new("wl")
        .about("Runs Kubernetes workloads on one machine's Podman, with no cluster")
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .infer_long_args(false)
        .subcommand_required(false)
}

/// The tree of commands and flags, with pflag's rules for values.
pub fn command() -> clap::Command {
    flags::as_pflag(Cli::augment_args(program()))
}

/// The same for a line whose first word this is: where it names a command, the others are left out, which takes half the time.
pub fn command_of(first: Option<&OsStr>) -> clap::Command {
    match first.and_then(OsStr::to_str).and_then(Command::tree_of) {
        Some(only) => flags::as_pflag(GlobalFlags::augment_args(program()).subcommand(only)),
        None => command(),
    }
}

/// The tree for the line that a shell wants completed: its first word counts once the cursor is behind it.
fn command_to_complete() -> clap::Command {
    let (words, before) = complete::typed();
    command_of(words.first().filter(|_| before > 0).map(OsStr::new))
}

/// Prints the help of a command that does nothing by itself, for want of one below it.
fn help(ctx: &mut Context, path: &[&str]) {
    let mut tree = command();
    let mut at = &mut tree;
    for word in path {
        let Some(inner) = at.find_subcommand_mut(word) else { return };
        at = inner;
    }
    let text = at.render_help().to_string();
    ctx.err.text(&text);
}

/// Reads this process's arguments, does what they say and returns the exit code.
pub fn main() -> ExitCode {
    clap_complete::CompleteEnv::with_factory(command_to_complete).complete();
    let world = World::of_this_process();
    let mut builder = if world.wants_threads() {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2);
        builder
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    let Ok(runtime) = builder.enable_all().build() else {
        return ExitCode::FAILURE;
    };
    let exit = runtime.block_on(run_with(world));
    runtime.shutdown_background();
    exit.into()
}

/// Does what `world.args` say, in that world alone: nothing of this process is read or written.
pub async fn run_with(world: World) -> Exit {
    let (args, mut ctx) = world.split();
    let exit = match parse(&args, &mut ctx) {
        Ok(None) => Exit::Success,
        Ok(Some(command)) => match command.run(&mut ctx).await {
            Ok(exit) => exit,
            Err(error) => error.report(&mut ctx),
        },
        Err(exit) => exit,
    };
    ctx.close().await;
    if ctx.finish() { exit } else { Exit::BrokenPipe }
}

/// `wl down -v` takes volumes away; everywhere else the letter is kubectl's verbosity.
fn spelled_out(args: &[OsString]) -> Vec<OsString> {
    let is_down = args.iter().skip(1).find(|a| !a.to_string_lossy().starts_with('-')).is_some_and(|word| word == "down");
    let long = |word: &OsString| if is_down && word == "-v" { "--volumes".into() } else { word.clone() };
    args.iter().map(long).collect()
}

/// The command asked for; `None` where help was asked for, and printed.
fn parse(args: &[OsString], ctx: &mut Context) -> Result<Option<Command>, Exit> {
    let args = &spelled_out(args);
    let mut tree = command_of(args.get(1).map(OsString::as_os_str));
    let parsed = tree.try_get_matches_from_mut(args).and_then(|matches| {
        ctx.command_path = usage::path_of(&matches);
        Cli::from_arg_matches(&matches)
    });
    match parsed {
        Ok(cli) => {
            ctx.flags = cli.flags;
            ctx.prepare();
            if cli.command.is_none() {
                ctx.out.text(&tree.render_help().to_string());
            }
            Ok(cli.command)
        }
        Err(error) if !error.use_stderr() => {
            ctx.out.text(&error.render().to_string());
            Ok(None)
        }
        Err(error) => {
            ctx.err.text(&usage::text(&error, &tree, args));
            Err(Exit::Failure)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A command's help and those below it.
    fn helps(tree: &mut clap::Command, path: &str, found: &mut Vec<(String, String)>) {
        found.push((path.to_owned(), tree.render_long_help().to_string()));
        tree.get_subcommands_mut().for_each(|inner| {
            let path = format!("{path} {}", inner.get_name());
            helps(inner, &path, found);
        });
    }

    #[test]
    fn a_command_alone_is_what_it_is_among_the_others() {
        let mut whole = command();
        whole.build();
        let names: Vec<String> = whole.get_subcommands().map(|inner| inner.get_name().to_owned()).collect();
        assert!(names.iter().any(|name| name == "port-forward"));
        for name in names {
            let mut alone = command_of(Some(OsStr::new(&name)));
            alone.build();
            assert_eq!(alone.get_subcommands().count(), 1, "{name}");
            let (mut one, mut other) = (Vec::new(), Vec::new());
            helps(alone.find_subcommand_mut(&name).unwrap(), &name, &mut one);
            helps(whole.find_subcommand_mut(&name).unwrap(), &name, &mut other);
            assert_eq!(one, other);
        }
        assert_eq!(command_of(Some(OsStr::new("ge"))).get_subcommands().count(), whole.get_subcommands().count());
    }
}
