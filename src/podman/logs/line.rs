//! One line of a k8s-file: `TIME STREAM TAG TEXT`.

use jiff::Timestamp;

/// Which of its two outputs a container wrote to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// A parsed line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLine<'a> {
    pub at: Timestamp,
    /// The time as it is written.
    pub time: &'a str,
    pub stream: Stream,
    /// The text goes on in the next line of the same stream: it was longer than conmon's buffer, or has no end yet.
    pub partial: bool,
    pub text: &'a [u8],
}

/// Parses a line without its end; `None` if it is none (its beginning was cut off, say).
pub fn parse(line: &[u8]) -> Option<LogLine<'_>> {
    let mut parts = line.splitn(4, |b| *b == b' ');
    let time = std::str::from_utf8(parts.next()?).ok()?;
    let stream = match parts.next()? {
        b"stdout" => Stream::Stdout,
        b"stderr" => Stream::Stderr,
        _ => return None,
    };
    // Tags are parted by colons; the first says whether the line is whole.
    let partial = match parts.next()?.split(|b| *b == b':').next()? {
        b"P" => true,
        b"F" => false,
        _ => return None,
    };
    Some(LogLine { at: time.parse().ok()?, time, stream, partial, text: parts.next().unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_has_time_stream_tag_and_text() {
        let line = parse(b"2026-11-25T04:43:07.123456789+00:00 stderr F two  words ").expect("a line");
        assert_eq!((line.stream, line.partial, line.text), (Stream::Stderr, false, b"two  words ".as_slice()));
        assert_eq!(line.at.subsec_nanosecond(), 123_456_789);
        let line = parse(b"2026-11-25T04:43:07.1Z stdout P:x \xff").expect("a line");
        assert_eq!((line.partial, line.text), (true, b"\xff".as_slice()));
        assert_eq!(parse(b"2026-11-25T04:43:07Z stdout F").map(|l| l.text), Some(b"".as_slice()));
        assert_eq!(parse(b"2026-11-25T04:43:07Z stdout F ").map(|l| l.text), Some(b"".as_slice()));
    }

    #[test]
    fn what_is_no_line_is_none() {
        for text in ["", " ", "x stdout F y", "2026-11-25T04:43:07Z stdin F y", "2026-11-25T04:43:07Z stdout X y", "07Z stdout F y"] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
