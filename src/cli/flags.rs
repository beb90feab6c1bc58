//! Flags that every command takes, and pflag's rules for how a flag gets its value.

use std::any::TypeId;
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgAction;
use clap::builder::ValueParser;

/// Flags of every command.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct GlobalFlags {
    /// The namespace that the command works in
    #[arg(short = 'n', long, global = true, add = super::complete::namespaces())]
    pub namespace: Option<String>,
    /// The kubeconfig context of a real cluster
    #[arg(long, global = true)]
    pub context: Option<String>,
    /// The user to act as
    #[arg(long = "as", global = true, value_name = "USER", hide = true)]
    pub as_user: Option<String>,
    /// A group of the user to act as; may be repeated
    #[arg(long, global = true, value_name = "GROUP", hide = true)]
    pub as_group: Vec<String>,
    /// The UID of the user to act as
    #[arg(long, global = true, value_name = "UID", hide = true)]
    pub as_uid: Option<String>,
    /// How long to wait for one answer of the server (0: for ever)
    #[arg(long, global = true, value_parser = timeout)]
    pub request_timeout: Option<Duration>,
    /// How much to tell about requests (6: each request on stderr)
    #[arg(short = 'v', long = "v", global = true, value_parser = integer, value_name = "LEVEL", hide = true)]
    pub verbosity: Option<i64>,
    /// The folder that holds everything `wl` keeps [env: WL_STATE_DIR]
    #[arg(long, global = true)]
    pub state_dir: Option<PathBuf>,
    /// Do not start the background watch: run the engine inside this command until things have settled
    #[arg(long, global = true)]
    pub no_watch: bool,
}

/// Gives every flag of the tree pflag's manners: a value may begin with a dash, the last of several
/// counts, `--flag`, `--flag=false` and `--flag=1` are one boolean.
pub(super) fn as_pflag(command: clap::Command) -> clap::Command {
    let command = command.args_override_self(true).mut_args(|arg| {
        if arg.is_positional() {
            return arg;
        }
        let boolean = arg.get_value_parser().type_id() == TypeId::of::<bool>();
        let optional = arg.get_num_args().is_some_and(|n| n.min_values() == 0);
        match arg.get_action() {
            ArgAction::SetTrue | ArgAction::Set if boolean => {
                let missing = arg.get_default_values().is_empty() && matches!(arg.get_action(), ArgAction::SetTrue);
                let arg = arg
                    .action(ArgAction::Set)
                    .num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("true")
                    .value_parser(ValueParser::new(boolean_value))
                    .hide_default_value(true)
                    .value_name("BOOL")
                    .hide_possible_values(true);
                if missing { arg.default_value("false") } else { arg }
            }
            ArgAction::Set | ArgAction::Append if optional => arg.require_equals(true),
            ArgAction::Set | ArgAction::Append => arg.allow_hyphen_values(true),
            _ => arg,
        }
    });
    command.mut_subcommands(as_pflag)
}

/// Go's `strconv.ParseBool`.
pub fn boolean_value(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {}: invalid syntax", quote(text))),
    }
}

/// Go's `strconv.ParseInt` with base 0, in decimal and hexadecimal.
pub fn integer(text: &str) -> Result<i64, String> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let parsed = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) if !hex.starts_with(['+', '-']) => i128::from_str_radix(hex, 16),
        _ if digits.starts_with(['+', '-']) => "".parse(),
        _ => digits.parse(),
    };
    let value = match parsed {
        Ok(value) => value,
        Err(e) if *e.kind() == std::num::IntErrorKind::PosOverflow => i128::MAX,
        Err(_) => return Err(format!("strconv.ParseInt: parsing {}: invalid syntax", quote(text))),
    };
    let value = if negative { -value } else { value };
    i64::try_from(value).map_err(|_| format!("strconv.ParseInt: parsing {}: value out of range", quote(text)))
}

/// The same, for 32 bits.
pub fn integer32(text: &str) -> Result<i32, String> {
    let value = integer(text)?;
    i32::try_from(value).map_err(|_| format!("strconv.ParseInt: parsing {}: value out of range", quote(text)))
}

/// Go's `time.ParseDuration`.
pub fn duration(text: &str) -> Result<Duration, String> {
    signed_duration(text)?.try_into().map_err(|_| format!("time: invalid duration {}", quote(text)))
}

/// A duration, or a plain number of seconds (`--request-timeout`).
pub fn timeout(text: &str) -> Result<Duration, String> {
    match text.parse::<u64>() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => duration(text),
    }
}

/// Go's `time.ParseDuration`, with a sign.
pub fn signed_duration(text: &str) -> Result<jiff::SignedDuration, String> {
    let invalid = || format!("time: invalid duration {}", quote(text));
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(jiff::SignedDuration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut nanos: f64 = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            "" => return Err(format!("time: missing unit in duration {}", quote(text))),
            unit => return Err(format!("time: unknown unit {} in duration {}", quote(unit), quote(text))),
        };
        rest = &rest[end..];
        nanos += number * unit;
    }
    if nanos > i64::MAX as f64 {
        return Err(invalid());
    }
    let nanos = nanos.round() as i64;
    Ok(jiff::SignedDuration::from_nanos(if negative { -nanos } else { nanos }))
}

use crate::api::status::quote;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1.5h"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert_eq!(duration("bogus"), Err("time: invalid duration \"bogus\"".into()));
        assert_eq!(duration("5"), Err("time: missing unit in duration \"5\"".into()));
        assert_eq!(duration("5x"), Err("time: unknown unit \"x\" in duration \"5x\"".into()));
    }

    #[test]
    fn integers_are_gos() {
        assert_eq!(integer("-7"), Ok(-7));
        assert_eq!(integer("0x10"), Ok(16));
        assert_eq!(integer("x"), Err("strconv.ParseInt: parsing \"x\": invalid syntax".into()));
        let big = "99999999999999999999";
        assert_eq!(integer(big), Err(format!("strconv.ParseInt: parsing \"{big}\": value out of range")));
    }
}
