//! The keys that end a session and leave the process alone: `ctrl-p,ctrl-q`.
//! Source: github.com/moby/term: ascii.go, proxy.go.

use crate::cli::CliError;

/// A sequence of keys, and how much of it has been typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetachKeys {
    keys: Vec<u8>,
    typed: usize,
}

impl DetachKeys {
    /// `ctrl-p,ctrl-q`, `a,b`, `ctrl-[`.
    pub fn parse(text: &str) -> Result<Self, CliError> {
        let keys: Option<Vec<u8>> = text.split(',').map(key).collect();
        match keys {
            Some(keys) => Ok(DetachKeys { keys, typed: 0 }),
            None => Err(CliError::message(format!("could not bind detach keys: unknown character in {text:?}"))),
        }
    }

    /// What of `bytes` is to be sent, and whether the keys were typed. Keys that begin the sequence are held back until
    /// it is clear that they do not end it.
    pub fn filter(&mut self, bytes: Vec<u8>) -> (Vec<u8>, bool) {
        let mut out = Vec::with_capacity(bytes.len());
        for byte in bytes {
            if byte == self.keys[self.typed] {
                self.typed += 1;
                if self.typed == self.keys.len() {
                    return (out, true);
                }
                continue;
            }
            out.extend_from_slice(&self.keys[..self.typed]);
            self.typed = 0;
            if byte == self.keys[0] && self.keys.len() > 1 {
                self.typed = 1;
            } else {
                out.push(byte);
            }
        }
        (out, false)
    }
}

fn key(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [one] => Some(*one),
        _ => match text.strip_prefix("ctrl-")?.as_bytes() {
            [letter @ b'a'..=b'z'] => Some(letter - b'a' + 1),
            [b'@'] => Some(0),
            [sign @ b'['..=b'_'] => Some(sign - b'@'),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_end_the_session_and_are_not_sent() {
        let mut keys = DetachKeys::parse("ctrl-p,ctrl-q").expect("keys");
        assert_eq!(keys.filter(b"ab\x10\x11cd".to_vec()), (b"ab".to_vec(), true));
        let mut keys = DetachKeys::parse("ctrl-p,ctrl-q").expect("keys");
        assert_eq!(keys.filter(b"a\x10".to_vec()), (b"a".to_vec(), false), "held back");
        assert_eq!(keys.filter(b"b".to_vec()), (b"\x10b".to_vec(), false), "it was no end");
        assert_eq!(keys.filter(b"\x10\x10".to_vec()), (b"\x10".to_vec(), false));
        assert_eq!(keys.filter(b"\x11".to_vec()), (b"".to_vec(), true));
        assert!(DetachKeys::parse("ctrl-1").is_err() && DetachKeys::parse("").is_err());
        assert_eq!(DetachKeys::parse("ctrl-[").expect("keys").keys, [27]);
    }
}
