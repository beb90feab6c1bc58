//! Wrong flags in pflag's words. Source: github.com/spf13/pflag/errors.go, github.com/spf13/cobra.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::api::status::quote;

/// `wl get`, `wl rollout status`.
pub(super) fn path_of(matches: &clap::ArgMatches) -> String {
    let mut path = String::from("wl");
    let mut at = matches.subcommand();
    while let Some((name, inner)) = at {
        path.push(' ');
        path.push_str(name);
        at = inner.subcommand();
    }
    path
}

/// What to print of an error of the argument parser.
pub(super) fn text(error: &clap::Error, tree: &clap::Command, args: &[OsString]) -> String {
    let args: Vec<String> = args.iter().map(|a| a.to_string_lossy().into_owned()).collect();
    let (path, command) = command_of(tree, &args);
    let about = |kind: ContextKind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    let message = match error.kind() {
        ErrorKind::UnknownArgument => unknown(&about(ContextKind::InvalidArg), &args),
        ErrorKind::InvalidSubcommand => {
            let name = about(ContextKind::InvalidSubcommand);
            if path == "wl" {
                return format!("error: unknown command {} for {}\n", quote(&name), quote(&path));
            }
            // Source: `RequireNoArguments` in k8s.io/kubectl/pkg/cmd/util/helpers.go.
            let words = args.iter().skip_while(|word| **word != name).filter(|word| !word.starts_with('-'));
            let words = words.map(String::as_str).collect::<Vec<_>>().join(" ");
            // A command that does something by itself has flags of its own.
            let does = command.get_arguments().any(|flag| flag.get_id() != "help" && !flag.is_global_set());
            let message = if does { format!("Unexpected args: [{words}]") } else { format!("unknown command {}", quote(&words)) };
            return format!("error: {message}\nSee '{path} -h' for help and examples\n");
        }
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            return command.clone().render_help().to_string();
        }
        ErrorKind::ValueValidation => {
            let why = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
            let value = about(ContextKind::InvalidValue);
            format!("invalid argument {} for {} flag: {why}", quote(&value), quote(&flag_names(&about(ContextKind::InvalidArg), command)))
        }
        ErrorKind::InvalidValue | ErrorKind::NoEquals | ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => {
            needs_argument(args.last().map_or("", String::as_str))
        }
        _ => {
            let text = error.render().to_string();
            let first = text.lines().next().unwrap_or("wrong arguments");
            first.strip_prefix("error: ").unwrap_or(first).to_owned()
        }
    };
    format!("error: {message}\nSee '{path} --help' for usage.\n")
}

/// The command that the words of `args` lead to.
fn command_of<'a>(tree: &'a clap::Command, args: &[String]) -> (String, &'a clap::Command) {
    let (mut path, mut command) = (String::from("wl"), tree);
    for word in args.iter().skip(1).filter(|a| !a.starts_with('-')) {
        let Some(inner) = command.find_subcommand(word) else {
            if command.has_subcommands() && path == "wl" {
                continue;
            }
            break;
        };
        path.push(' ');
        path.push_str(inner.get_name());
        command = inner;
    }
    (path, command)
}

fn unknown(flag: &str, args: &[String]) -> String {
    if flag.starts_with("--") {
        return format!("unknown flag: {}", flag.split('=').next().unwrap_or(flag));
    }
    let letter = flag.trim_start_matches('-').chars().next().unwrap_or('-');
    let cluster = args.iter().find(|a| a.starts_with('-') && !a.starts_with("--") && a.contains(letter));
    format!("unknown shorthand flag: '{letter}' in {}", cluster.map_or(flag, String::as_str))
}

fn needs_argument(last: &str) -> String {
    if last.starts_with("--") {
        return format!("flag needs an argument: {}", last.trim_end_matches('='));
    }
    let letter = last.chars().last().unwrap_or('-');
    format!("flag needs an argument: '{letter}' in {last}")
}

/// `-o, --output` for `--output <OUTPUT>`.
fn flag_names(shown: &str, command: &clap::Command) -> String {
    let word = shown.split([' ', '=', '[']).next().unwrap_or(shown);
    let long = word.trim_start_matches('-');
    let found = command.get_arguments().find(|a| a.get_long() == Some(long) && word.starts_with("--"));
    let found = found.or_else(|| command.get_arguments().find(|a| a.get_short().is_some_and(|s| word == format!("-{s}"))));
    match found.map(|a| (a.get_short(), a.get_long())) {
        Some((Some(short), Some(long))) => format!("-{short}, --{long}"),
        _ => word.to_owned(),
    }
}
