//! Points in time as Go reads and writes them (`time.Parse` with the layout of RFC 3339).

use jiff::civil::Date;
use jiff::tz::Offset;

use crate::api::status::quote;

const SECONDS: &str = "2006-01-02T15:04:05Z07:00";
const MICROS: &str = "2006-01-02T15:04:05.000000Z07:00";

/// A `metav1.Time`: the canonical spelling (UTC, whole seconds); `None` for the zero time.
pub fn seconds(text: &str) -> Result<Option<String>, String> {
    read(text, SECONDS, false)
}

/// A `metav1.MicroTime`: the canonical spelling (UTC, six digits behind the point); `None` for the zero time.
pub fn micros(text: &str) -> Result<Option<String>, String> {
    read(text, MICROS, true)
}

fn read(text: &str, layout: &str, micros: bool) -> Result<Option<String>, String> {
    let mut parser = Parser { rest: text };
    parser.time(micros).map_err(|why| match why {
        Why::Piece(piece) => {
            let rest = parser.rest;
            format!("parsing time {} as {}: cannot parse {} as {}", quote(text), quote(layout), quote(rest), quote(piece))
        }
        Why::Range(what) => format!("parsing time {}: {what} out of range", quote(text)),
        Why::Extra => format!("parsing time {}: extra text: {}", quote(text), quote(parser.rest)),
    })
}

enum Why {
    Piece(&'static str),
    Range(&'static str),
    Extra,
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    /// Between `least` and `most` digits, as many as there are.
    fn number(&mut self, least: usize, most: usize, piece: &'static str) -> Result<i32, Why> {
        let count = self.rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
        if count < least {
            return Err(Why::Piece(piece));
        }
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        digits.parse().map_err(|_| Why::Piece(piece))
    }

    fn literal(&mut self, piece: &'static str) -> Result<(), Why> {
        self.rest = self.rest.strip_prefix(piece).ok_or(Why::Piece(piece))?;
        Ok(())
    }

    fn within(value: i32, low: i32, high: i32, what: &'static str) -> Result<i32, Why> {
        if (low..=high).contains(&value) { Ok(value) } else { Err(Why::Range(what)) }
    }

    fn time(&mut self, micros: bool) -> Result<Option<String>, Why> {
        let year = self.number(4, 4, "2006")?;
        self.literal("-")?;
        let month = Self::within(self.number(2, 2, "01")?, 1, 12, "month")?;
        self.literal("-")?;
        let day = self.number(2, 2, "02")?;
        self.literal("T")?;
        let hour = Self::within(self.number(1, 2, "15")?, 0, 23, "hour")?;
        self.literal(":")?;
        let minute = Self::within(self.number(2, 2, "04")?, 0, 59, "minute")?;
        self.literal(":")?;
        let second = Self::within(self.number(2, 2, "05")?, 0, 59, "second")?;
        let nanos = self.fraction(micros)?;
        let offset = self.offset()?;
        if !self.rest.is_empty() {
            return Err(Why::Extra);
        }
        let date = i16::try_from(year).ok().and_then(|y| Date::new(y, month as i8, day as i8).ok());
        let date = date.ok_or(Why::Range("day"))?;
        let civil = date.at(hour as i8, minute as i8, second as i8, nanos);
        let offset = Offset::from_seconds(offset).map_err(|_| Why::Range("time zone offset hour"))?;
        let utc = offset.to_timestamp(civil).map_err(|_| Why::Range("year"))?;
        let utc = Offset::UTC.to_datetime(utc);
        if utc == Date::constant(1, 1, 1).at(0, 0, 0, 0) {
            return Ok(None);
        }
        Ok(Some(utc.strftime(if micros { "%Y-%m-%dT%H:%M:%S.%6fZ" } else { "%Y-%m-%dT%H:%M:%SZ" }).to_string()))
    }

    fn fraction(&mut self, micros: bool) -> Result<i32, Why> {
        let digits = self.rest.strip_prefix(['.', ',']).map(|r| r.bytes().take_while(u8::is_ascii_digit).count());
        let count = match (micros, digits) {
            (true, Some(found)) if found >= 6 && self.rest.starts_with('.') => 6,
            (true, _) => return Err(Why::Piece(".000000")),
            (false, None | Some(0)) => return Ok(0),
            (false, Some(found)) => found,
        };
        let mut nanos = 0;
        for index in 0..9 {
            let digit = if index < count { i32::from(self.rest.as_bytes()[1 + index] - b'0') } else { 0 };
            nanos = nanos * 10 + digit;
        }
        self.rest = &self.rest[1 + count..];
        Ok(nanos)
    }

    /// Seconds east of UTC.
    fn offset(&mut self) -> Result<i32, Why> {
        const PIECE: &str = "Z07:00";
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Ok(0);
        }
        let bytes = self.rest.as_bytes();
        let shaped = bytes.len() >= 6
            && matches!(bytes[0], b'+' | b'-')
            && bytes[3] == b':'
            && [1, 2, 4, 5].iter().all(|i| bytes[*i].is_ascii_digit());
        if !shaped {
            return Err(Why::Piece(PIECE));
        }
        let two = |at: usize| i32::from(bytes[at] - b'0') * 10 + i32::from(bytes[at + 1] - b'0');
        let hours = Self::within(two(1), 0, 24, "time zone offset hour")?;
        let minutes = Self::within(two(4), 0, 60, "time zone offset minute")?;
        let sign = if bytes[0] == b'-' { -1 } else { 1 };
        self.rest = &self.rest[6..];
        Ok(sign * (hours * 3600 + minutes * 60))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_become_utc_in_whole_seconds() {
        assert_eq!(seconds("2026-01-02T03:04:05+02:00").unwrap().unwrap(), "2026-01-02T01:04:05Z");
        assert_eq!(seconds("2026-01-02T03:04:05.999Z").unwrap().unwrap(), "2026-01-02T03:04:05Z");
        assert_eq!(seconds("0001-01-01T00:00:00Z").unwrap(), None);
        assert_eq!(micros("2026-01-02T03:04:05.100000Z").unwrap().unwrap(), "2026-01-02T03:04:05.100000Z");
    }

    #[test]
    fn other_texts_are_refused_in_gos_words() {
        let layout = "2006-01-02T15:04:05Z07:00";
        let error = seconds("yesterday").unwrap_err();
        assert_eq!(error, format!("parsing time \"yesterday\" as \"{layout}\": cannot parse \"yesterday\" as \"2006\""));
        let error = seconds("2026-01-02").unwrap_err();
        assert_eq!(error, format!("parsing time \"2026-01-02\" as \"{layout}\": cannot parse \"\" as \"T\""));
        assert_eq!(seconds("2026-13-02T00:00:00Z").unwrap_err(), "parsing time \"2026-13-02T00:00:00Z\": month out of range");
        assert_eq!(seconds("2026-02-30T00:00:00Z").unwrap_err(), "parsing time \"2026-02-30T00:00:00Z\": day out of range");
        assert!(micros("2026-01-02T03:04:05Z").unwrap_err().ends_with("cannot parse \"Z\" as \".000000\""));
    }
}
