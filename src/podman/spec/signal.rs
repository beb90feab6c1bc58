//! Signals by name or number, as `STOPSIGNAL` and Kubernetes write them.

/// Names by number from 1 on (Linux on all machines but MIPS and Alpha, whose containers Podman numbers the same way).
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];
const FIRST_REAL_TIME: i32 = 34;
const LAST_REAL_TIME: i32 = 64;

/// The number of `SIGTERM`, `term`, `15`, `RTMIN+3`, `SIGRTMAX-1`; `None` if it is no signal.
pub fn signal_number(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (1..=LAST_REAL_TIME).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(at) = NAMES.iter().position(|known| *known == name) {
        return i32::try_from(at + 1).ok();
    }
    let number = match name {
        "IOT" => 6,
        "CLD" => 17,
        "POLL" => 29,
        "RTMIN" => FIRST_REAL_TIME,
        "RTMAX" => LAST_REAL_TIME,
        _ => match (name.strip_prefix("RTMIN+"), name.strip_prefix("RTMAX-")) {
            (Some(more), _) => FIRST_REAL_TIME.checked_add(more.parse::<u8>().ok()?.into())?,
            (_, Some(less)) => LAST_REAL_TIME.checked_sub(less.parse::<u8>().ok()?.into())?,
            _ => return None,
        },
    };
    (1..=LAST_REAL_TIME).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::signal_number;

    #[test]
    fn signals_are_known_by_name_and_number() {
        for (text, number) in [("SIGTERM", 15), ("term", 15), ("15", 15), ("SIGSYS", 31), ("SIGRTMIN+3", 37), ("RTMAX-1", 63), ("SIGQUIT", 3)] {
            assert_eq!(signal_number(text), Some(number), "{text}");
        }
        for text in ["", "0", "65", "SIGNONE", "RTMIN+99", "RTMIN+-1", "-9"] {
            assert_eq!(signal_number(text), None, "{text}");
        }
    }
}
