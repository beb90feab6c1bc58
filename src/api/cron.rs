//! Cron schedules as a CronJob has them: read and worded as robfig/cron v3's `ParseStandard`, next times included.
//! Source: github.com/robfig/cron/v3 {parser,spec,constantdelay}.go; Go's time.Date for clocks that are set.

use jiff::civil::Date;
use jiff::{Timestamp, tz::TimeZone};

use super::go_time;

/// When something is due.
#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    /// Fields of minutes, hours, days, months and weekdays.
    Fields(Fields),
    /// Every so many seconds.
    Every(i64),
}

/// Bits of the allowed values; the highest bit tells that the field was a star.
#[derive(Clone, Debug, PartialEq)]
pub struct Fields {
    minute: u64,
    hour: u64,
    day: u64,
    month: u64,
    weekday: u64,
}

const STAR: u64 = 1 << 63;

struct Bounds {
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const MINUTES: Bounds = Bounds { min: 0, max: 59, names: &[] };
const HOURS: Bounds = Bounds { min: 0, max: 23, names: &[] };
const DAYS: Bounds = Bounds { min: 1, max: 31, names: &[] };
const MONTHS: Bounds = Bounds {
    min: 1,
    max: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
const WEEKDAYS: Bounds = Bounds { min: 0, max: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

impl Schedule {
    /// Reads five fields, a macro (`@daily`) or `@every 1h`. `TZ=…` before them is skipped when its zone is
    /// known: whether it is allowed is for validation to say.
    pub fn parse(text: &str) -> Result<Schedule, String> {
        if text.is_empty() {
            return Err("empty spec string".into());
        }
        let rest = without_zone(text)?;
        if rest.starts_with('@') {
            return descriptor(rest);
        }
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
        };
        Ok(Schedule::Fields(Fields {
            minute: field(minute, &MINUTES)?,
            hour: field(hour, &HOURS)?,
            day: field(day, &DAYS)?,
            month: field(month, &MONTHS)?,
            weekday: field(weekday, &WEEKDAYS)?,
        }))
    }

    /// The first due time after `after`, in whole seconds; `None` if there is none within five years.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let seconds = after.as_second() - i64::from(after.subsec_nanosecond() < 0);
        let next = match self {
            Schedule::Every(every) => Some(seconds + every),
            Schedule::Fields(fields) => fields.next(seconds + 1, zone),
        }?;
        Timestamp::from_second(next).ok()
    }
}

/// The zone of `timeZone`, if there is one of exactly this spelling.
pub fn zone(name: &str) -> Option<TimeZone> {
    if name == "UTC" || name.is_empty() {
        return Some(TimeZone::UTC);
    }
    TimeZone::get(name).ok().filter(|zone| zone.iana_name() == Some(name))
}

fn without_zone(text: &str) -> Result<&str, String> {
    if !text.starts_with("TZ=") && !text.starts_with("CRON_TZ=") {
        return Ok(text);
    }
    let (head, rest) = text.split_once(' ').unwrap_or((text, ""));
    let name = head.split_once('=').map_or("", |(_, name)| name);
    if zone(name).is_none() && name != "Local" {
        return Err(format!("provided bad location {name}: unknown time zone {name}"));
    }
    Ok(rest.trim())
}

fn descriptor(text: &str) -> Result<Schedule, String> {
    let all = |bounds: &Bounds| bits(bounds.min, bounds.max, 1) | STAR;
    let fields = |minute, hour, day, month, weekday| Ok(Schedule::Fields(Fields { minute, hour, day, month, weekday }));
    let zero = 1;
    let (day, month, weekday) = (all(&DAYS), all(&MONTHS), all(&WEEKDAYS));
    match text {
        "@yearly" | "@annually" => fields(zero, zero, 1 << 1, 1 << 1, weekday),
        "@monthly" => fields(zero, zero, 1 << 1, month, weekday),
        "@weekly" => fields(zero, zero, day, month, 1),
        "@daily" | "@midnight" => fields(zero, zero, day, month, weekday),
        "@hourly" => fields(zero, all(&HOURS), day, month, weekday),
        _ => match text.strip_prefix("@every ") {
            Some(length) => match go_time::parse_duration(length) {
                Ok(nanos) => Ok(Schedule::Every((nanos / 1_000_000_000).max(1))),
                Err(error) => Err(format!("failed to parse duration {text}: {error}")),
            },
            None => Err(format!("unrecognized descriptor: {text}")),
        },
    }
}

fn field(text: &str, bounds: &Bounds) -> Result<u64, String> {
    let ranges = text.split(',').filter(|part| !part.is_empty());
    ranges.map(|part| range(part, bounds)).try_fold(0, |all, bits| Ok(all | bits?))
}

fn range(text: &str, bounds: &Bounds) -> Result<u64, String> {
    let parts: Vec<&str> = text.split('/').collect();
    let ends: Vec<&str> = parts[0].split('-').collect();
    let mut star = 0;
    let (start, mut end) = if ends[0] == "*" || ends[0] == "?" {
        star = STAR;
        (bounds.min, bounds.max)
    } else {
        let start = number_or_name(ends[0], bounds)?;
        match ends.as_slice() {
            [_] => (start, start),
            [_, end] => (start, number_or_name(end, bounds)?),
            _ => return Err(format!("too many hyphens: {text}")),
        }
    };
    let step = match parts.as_slice() {
        [_] => 1,
        [_, step] => {
            let step = number(step)?;
            if ends.len() == 1 {
                end = bounds.max;
            }
            if step > 1 {
                star = 0;
            }
            step
        }
        _ => return Err(format!("too many slashes: {text}")),
    };
    if start < bounds.min {
        return Err(format!("beginning of range ({start}) below minimum ({}): {text}", bounds.min));
    }
    if end > bounds.max {
        return Err(format!("end of range ({end}) above maximum ({}): {text}", bounds.max));
    }
    if start > end {
        return Err(format!("beginning of range ({start}) beyond end of range ({end}): {text}"));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {text}"));
    }
    Ok(bits(start, end, step) | star)
}

fn bits(start: u32, end: u32, step: u32) -> u64 {
    (start..=end).step_by(step as usize).fold(0, |all, n| all | 1 << n)
}

fn number_or_name(text: &str, bounds: &Bounds) -> Result<u32, String> {
    let lower = text.to_lowercase();
    match bounds.names.iter().position(|name| *name == lower) {
        Some(index) => Ok(index as u32 + bounds.min),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u32, String> {
    let value = go_time::atoi(text).map_err(|error| format!("failed to parse int from {text}: {error}"))?;
    if value < 0 {
        return Err(format!("negative number ({value}) not allowed: {text}"));
    }
    Ok(u32::try_from(value).unwrap_or(u32::MAX))
}

/// A moment with its fields on the local clock.
#[derive(Clone, Copy)]
struct Local {
    unix: i64,
    date: Date,
    seconds_of_day: i64,
}

impl Local {
    fn at(unix: i64, zone: &TimeZone) -> Option<Local> {
        let local = unix + offset(unix, zone)?;
        let date = Date::new(1970, 1, 1).ok()?.checked_add(jiff::Span::new().try_days(local.div_euclid(86_400)).ok()?);
        Some(Local { unix, date: date.ok()?, seconds_of_day: local.rem_euclid(86_400) })
    }

    /// `time.Date`: where the local clock skips or repeats a time, one of the two zones decides.
    fn of(date: Date, seconds_of_day: i64, zone: &TimeZone) -> Option<Local> {
        let days = date.since(Date::new(1970, 1, 1).ok()?).ok()?.get_days();
        let local = i64::from(days) * 86_400 + seconds_of_day;
        let guess = offset(local, zone)?;
        let unix = local - guess;
        let right = offset(unix, zone)?;
        Local::at(local - right, zone)
    }

    fn add(self, seconds: i64, zone: &TimeZone) -> Option<Local> {
        Local::at(self.unix + seconds, zone)
    }

    fn hour(self) -> i64 {
        self.seconds_of_day / 3600
    }

    fn minute(self) -> i64 {
        self.seconds_of_day / 60 % 60
    }
}

fn offset(unix: i64, zone: &TimeZone) -> Option<i64> {
    Some(i64::from(zone.to_offset(Timestamp::from_second(unix).ok()?).seconds()))
}

impl Fields {
    fn next(&self, from: i64, zone: &TimeZone) -> Option<i64> {
        let mut t = Local::at(from, zone)?;
        let last_year = t.date.year() + 5;
        // Set once a field was moved on: the fields below it then start at their lowest.
        let mut added = false;
        'wrap: while t.date.year() <= last_year {
            while self.month & (1 << t.date.month()) == 0 {
                if !std::mem::replace(&mut added, true) {
                    t = Local::of(t.date.first_of_month(), 0, zone)?;
                }
                t = Local::of(next_month(t.date)?, t.seconds_of_day, zone)?;
                if t.date.month() == 1 {
                    continue 'wrap;
                }
            }
            while !self.day_matches(t.date) {
                if !std::mem::replace(&mut added, true) {
                    t = Local::of(t.date, 0, zone)?;
                }
                t = at_midnight(Local::of(t.date.tomorrow().ok()?, t.seconds_of_day, zone)?, zone)?;
                if t.date.day() == 1 {
                    continue 'wrap;
                }
            }
            while self.hour & (1 << t.hour()) == 0 {
                if !std::mem::replace(&mut added, true) {
                    t = Local::of(t.date, t.hour() * 3600, zone)?;
                }
                t = t.add(3600, zone)?;
                if t.hour() == 0 {
                    continue 'wrap;
                }
            }
            while self.minute & (1 << t.minute()) == 0 {
                if !std::mem::replace(&mut added, true) {
                    t = t.add(-t.unix.rem_euclid(60), zone)?;
                }
                t = t.add(60, zone)?;
                if t.minute() == 0 {
                    continue 'wrap;
                }
            }
            while t.seconds_of_day % 60 != 0 {
                added = true;
                t = t.add(1, zone)?;
                if t.seconds_of_day % 60 == 0 {
                    continue 'wrap;
                }
            }
            return Some(t.unix);
        }
        None
    }

    /// Both fields must match if one is a star, else either.
    fn day_matches(&self, date: Date) -> bool {
        let day = self.day & (1 << date.day()) != 0;
        let weekday = self.weekday & (1 << date.weekday().to_sunday_zero_offset()) != 0;
        if self.day & STAR != 0 || self.weekday & STAR != 0 { day && weekday } else { day || weekday }
    }
}

/// A month on, days past its end running over into the next.
fn next_month(date: Date) -> Option<Date> {
    let (year, month) = if date.month() == 12 { (date.year() + 1, 1) } else { (date.year(), date.month() + 1) };
    Date::new(year, month, 1).ok()?.checked_add(jiff::Span::new().try_days(date.day() - 1).ok()?).ok()
}

/// Midnight may have been skipped: an hour too late goes back, an hour too early goes on.
fn at_midnight(t: Local, zone: &TimeZone) -> Option<Local> {
    match t.hour() {
        0 => Some(t),
        hour if hour > 12 => t.add((24 - hour) * 3600, zone),
        hour => t.add(-hour * 3600, zone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(schedule: &str, after: &str, zone_name: &str) -> String {
        let zone = zone(zone_name).expect("a known zone");
        let schedule = Schedule::parse(schedule).expect("a valid schedule");
        let next = schedule.next(after.parse().expect("a time"), &zone);
        next.map_or("never".into(), |t| t.to_string())
    }

    #[test]
    fn fields_macros_and_lengths_give_the_next_time() {
        let cases = [
            ("* * * * *", "2024-01-01T00:00:00Z", "2024-01-01T00:01:00Z"),
            ("*/15 * * * *", "2024-01-01T00:46:10Z", "2024-01-01T01:00:00Z"),
            ("0 0 29 2 *", "2024-03-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("0 0 31 2 *", "2024-03-01T00:00:00Z", "never"),
            ("@weekly", "2024-01-01T00:00:00Z", "2024-01-07T00:00:00Z"),
            ("@yearly", "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"),
            ("0 12 13 * fri", "2024-01-01T00:00:00Z", "2024-01-05T12:00:00Z"),
            ("0 12 13 * ?", "2024-01-01T00:00:00Z", "2024-01-13T12:00:00Z"),
            ("@every 90s", "2024-01-01T00:00:00.5Z", "2024-01-01T00:01:30Z"),
            ("1-10/3 0 * jan-mar *", "2024-03-31T00:07:00Z", "2024-03-31T00:10:00Z"),
        ];
        for (schedule, after, expected) in cases {
            assert_eq!(next(schedule, after, "UTC"), expected, "{schedule} after {after}");
        }
    }

    #[test]
    fn a_time_that_the_clock_skips_is_skipped() {
        // 2024-03-31 02:30 does not exist in Berlin.
        assert_eq!(next("30 2 * * *", "2024-03-30T12:00:00Z", "Europe/Berlin"), "2024-04-01T00:30:00Z");
        assert_eq!(next("0 * * * *", "2024-03-31T00:30:00Z", "Europe/Berlin"), "2024-03-31T01:00:00Z");
        // Midnight is skipped in São Paulo on 2018-11-04.
        assert_eq!(next("0 0 * * *", "2018-11-03T12:00:00Z", "America/Sao_Paulo"), "2018-11-05T02:00:00Z");
    }

    #[test]
    fn a_time_that_the_clock_repeats_comes_twice() {
        // 02:30 in Berlin on 2024-10-27 is 00:30Z and again 01:30Z.
        assert_eq!(next("30 2 * * *", "2024-10-26T12:00:00Z", "Europe/Berlin"), "2024-10-27T00:30:00Z");
        assert_eq!(next("30 2 * * *", "2024-10-27T00:30:00Z", "Europe/Berlin"), "2024-10-27T01:30:00Z");
    }

    #[test]
    fn refusals_are_worded_as_robfig_words_them() {
        let cases = [
            ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
            ("1/2/3 * * * *", "too many slashes: 1/2/3"),
            ("a * * * *", "failed to parse int from a: strconv.Atoi: parsing \"a\": invalid syntax"),
            ("@never", "unrecognized descriptor: @never"),
            ("@every x", "failed to parse duration @every x: time: invalid duration \"x\""),
            ("TZ=Mars * * * * *", "provided bad location Mars: unknown time zone Mars"),
        ];
        for (schedule, message) in cases {
            assert_eq!(Schedule::parse(schedule), Err(message.to_owned()), "{schedule}");
        }
    }

    #[test]
    fn zones_are_known_by_their_exact_name() {
        assert!(zone("Europe/Berlin").is_some() && zone("EST").is_some() && zone("Etc/UTC").is_some());
        assert!(zone("europe/berlin").is_none() && zone("Mars/Base").is_none() && zone("GMT+1").is_none());
    }
}
