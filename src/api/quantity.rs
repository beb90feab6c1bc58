//! Amounts of resources: `250m`, `64Mi`, `1.5e3`. Exact arithmetic and Kubernetes' canonical spelling.
//! Source: k8s.io/apimachinery/pkg/api/resource/{quantity,amount,suffix}.go.

use std::cmp::Ordering;
use std::fmt;

/// Said of text that does not look like a quantity.
pub const FORMAT_ERROR: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/// The family of suffixes in which an amount is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `12e6`
    DecimalExponent,
    /// `12Mi`
    BinarySi,
    /// `12M`
    DecimalSi,
}

/// A decimal amount: `value` × 10^`scale`, and how to write it.
///
/// Values have up to 38 significant digits; what has more is rounded up at the 38th.
#[derive(Clone, Debug)]
pub struct Quantity {
    value: i128,
    scale: i32,
    format: Format,
    /// Whether Kubernetes keeps it as a 64-bit integer; the other form counts differently on overflow.
    small: bool,
    /// The spelling it was read with, where Kubernetes keeps that.
    text: Option<String>,
}

const NANO: i32 = -9;
/// Digits that always fit a 64-bit integer.
const INT64_DIGITS: i32 = 18;

impl Quantity {
    /// Nothing.
    pub fn zero() -> Self {
        Quantity { value: 0, scale: 0, format: Format::DecimalSi, small: true, text: None }
    }

    /// A whole number.
    pub fn from_i64(value: i64, format: Format) -> Self {
        Quantity { value: value.into(), scale: 0, format, small: true, text: None }
    }

    /// Reads a quantity; `Err` is worded as Kubernetes words it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "0" {
            return Ok(Quantity { text: Some(text.to_owned()), ..Quantity::zero() });
        }
        let parts = Parts::cut(text).ok_or(FORMAT_ERROR)?;
        let (base, exponent, format) =
            interpret(parts.suffix).ok_or("unable to parse quantity's suffix")?;
        let digits = i32::try_from(parts.whole.len() + parts.fraction.len()).unwrap_or(i32::MAX);
        let fraction = i32::try_from(parts.fraction.len()).unwrap_or(i32::MAX);
        let (precision, multiplier) = match format {
            Format::DecimalExponent | Format::DecimalSi => (INT64_DIGITS - digits, 1),
            Format::BinarySi if fraction == 0 => {
                let whole = i32::try_from(parts.whole.len()).unwrap_or(i32::MAX);
                (15i32.saturating_sub(whole) - exponent * 3 / 10 - 1, 1i128 << exponent)
            }
            Format::BinarySi => (-1, 1),
        };
        let ten_exponent = if base == 10 { exponent } else { 0 };
        let scale = ten_exponent.saturating_sub(fraction);
        if precision >= 0 && scale >= NANO {
            return Ok(parts.small(text, format, exponent, scale, multiplier));
        }
        Ok(parts.large(format, base, exponent))
    }

    pub fn format(&self) -> Format {
        self.format
    }

    pub fn is_zero(&self) -> bool {
        self.value == 0
    }

    /// -1, 0 or 1.
    pub fn signum(&self) -> i32 {
        self.value.signum() as i32
    }

    /// Rounds away from zero to a multiple of 10^`scale`.
    pub fn round_up(&mut self, scale: i32) {
        if self.small && self.scale >= scale {
            return;
        }
        self.text = None;
        (self.value, self.scale) = rounded(self.value, self.scale, scale);
    }

    /// Whether it is a whole multiple of 10^`scale`.
    pub fn is_multiple_of(&self, scale: i32) -> bool {
        let (value, at) = rounded(self.value, self.scale, scale);
        compare(value, at, self.value, self.scale) == Ordering::Equal
    }

    /// The amount in units of 10^`scale`, rounded up. What does not fit becomes what Kubernetes makes of it.
    pub fn scaled(&self, scale: i32) -> i64 {
        let (value, at) = rounded(self.value, self.scale, scale);
        let up = u32::try_from(at.saturating_sub(scale)).unwrap_or(u32::MAX);
        if self.small {
            let fits = 10i128.checked_pow(up).and_then(|f| value.checked_mul(f));
            return fits.and_then(|v| i64::try_from(v).ok()).unwrap_or(0);
        }
        // The low 64 bits, as of a big integer.
        let power = (0..up.min(64)).fold(1i64, |p, _| p.wrapping_mul(10));
        (value as i64).wrapping_mul(power)
    }

    /// The amount in whole units, rounded up.
    pub fn value(&self) -> i64 {
        self.scaled(0)
    }

    /// The amount in thousandths, rounded up.
    pub fn milli_value(&self) -> i64 {
        self.scaled(-3)
    }

    /// An approximation, for comparisons that are themselves approximate.
    pub fn as_f64(&self) -> f64 {
        self.value as f64 * 10f64.powi(self.scale)
    }

    /// The sum; it keeps this one's format unless this one is zero.
    pub fn add(&mut self, other: &Quantity) {
        self.text = None;
        if self.is_zero() {
            self.format = other.format;
        }
        let scale = match (self.is_zero(), other.is_zero()) {
            (_, true) => return,
            (true, false) => other.scale,
            _ => self.scale.min(other.scale),
        };
        let at = |q: &Quantity| {
            let up = u32::try_from(q.scale.saturating_sub(scale)).unwrap_or(u32::MAX);
            10i128.checked_pow(up).and_then(|f| q.value.checked_mul(f))
        };
        let (mine, theirs) = if self.is_zero() { (Some(0), at(other)) } else { (at(self), at(other)) };
        match mine.zip(theirs).and_then(|(a, b)| a.checked_add(b)) {
            Some(sum) => {
                self.small = self.small && other.small && i64::try_from(sum).is_ok();
                (self.value, self.scale) = (sum, scale);
            }
            // Beyond 38 digits apart the smaller one does not count.
            None if compare(self.value.saturating_abs(), self.scale, other.value.saturating_abs(), other.scale).is_lt() => {
                (self.value, self.scale) = (other.value, other.scale);
            }
            None => {}
        }
    }

    /// The difference; it keeps this one's format unless this one is zero.
    pub fn sub(&mut self, other: &Quantity) {
        self.add(&Quantity { value: -other.value, text: None, ..other.clone() });
    }

    /// Its canonical spelling; the one it was read with where Kubernetes keeps that.
    fn spelled(&self) -> String {
        if self.is_zero() {
            return "0".to_owned();
        }
        let mut format = self.format;
        if format == Format::BinarySi {
            let below_kilo = compare(self.value.saturating_abs(), self.scale, 1024, 0).is_lt();
            if below_kilo || !self.is_multiple_of(0) {
                format = Format::DecimalSi;
            }
        }
        if format == Format::BinarySi {
            let up = u32::try_from(self.scale).unwrap_or(0);
            let down = u32::try_from(-self.scale.min(0)).unwrap_or(0);
            let whole = 10i128.checked_pow(up).and_then(|f| self.value.checked_mul(f)).unwrap_or(i128::MAX)
                / 10i128.checked_pow(down).unwrap_or(i128::MAX);
            let (mut amount, mut times) = (whole, 0);
            while amount != 0 && amount % 1024 == 0 {
                (amount, times) = (amount / 1024, times + 1);
            }
            const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
            return format!("{amount}{}", BINARY.get(times).unwrap_or(&""));
        }
        let (mut amount, mut exponent) = (self.value, self.scale);
        while amount % 10 == 0 {
            (amount, exponent) = (amount / 10, exponent.saturating_add(1));
        }
        while exponent % 3 != 0 {
            (amount, exponent) = (amount.saturating_mul(10), exponent - 1);
        }
        match format {
            Format::DecimalExponent if exponent == 0 => amount.to_string(),
            Format::DecimalExponent => format!("{amount}e{exponent}"),
            _ => format!("{amount}{}", decimal_suffix(exponent)),
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.text {
            Some(text) => f.write_str(text),
            None => f.write_str(&self.spelled()),
        }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self.value, self.scale, other.value, other.scale)
    }
}

/// `a` × 10^`a_scale` against `b` × 10^`b_scale`.
fn compare(a: i128, a_scale: i32, b: i128, b_scale: i32) -> Ordering {
    if a.signum() != b.signum() || a == 0 {
        return a.signum().cmp(&b.signum());
    }
    let scale = a_scale.min(b_scale);
    let raise = |v: i128, s: i32| {
        let up = u32::try_from(s.saturating_sub(scale)).unwrap_or(u32::MAX);
        10i128.checked_pow(up).and_then(|f| v.checked_mul(f))
    };
    match (raise(a, a_scale), raise(b, b_scale)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (None, _) if a > 0 => Ordering::Greater,
        (None, _) => Ordering::Less,
        (_, None) if b > 0 => Ordering::Less,
        (_, None) => Ordering::Greater,
    }
}

/// Rounds `value` × 10^`from` away from zero to a multiple of 10^`to`.
fn rounded(value: i128, from: i32, to: i32) -> (i128, i32) {
    if from >= to {
        return (value, from);
    }
    let drop = u32::try_from(to.saturating_sub(from)).unwrap_or(u32::MAX);
    let Some(factor) = 10i128.checked_pow(drop) else { return (value.signum(), to) };
    let exact = value % factor == 0;
    (value / factor + if exact { 0 } else { value.signum() }, to)
}

/// The pieces of a quantity's text.
struct Parts<'a> {
    negative: bool,
    /// Digits before the point, without leading zeros; `0` if there are none.
    whole: &'a str,
    /// Digits behind the point.
    fraction: &'a str,
    suffix: &'a str,
}

impl<'a> Parts<'a> {
    fn cut(text: &'a str) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        let negative = text.starts_with('-');
        let rest = text.strip_prefix(['-', '+']).unwrap_or(text).trim_start_matches('0');
        let (whole, rest) = digits(rest);
        let (fraction, rest) = match rest.strip_prefix('.') {
            Some(rest) => digits(rest),
            None => ("", rest),
        };
        let letters = rest.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
        let signed = letters.strip_prefix(['-', '+']).unwrap_or(letters);
        if !digits(signed).1.is_empty() {
            return None;
        }
        Some(Parts { negative, whole: if whole.is_empty() { "0" } else { whole }, fraction, suffix: rest })
    }

    /// An amount that fits 64 bits (by the count of its digits).
    fn small(&self, text: &str, format: Format, exponent: i32, scale: i32, multiplier: i128) -> Quantity {
        let shifted = format!("{}{}", self.whole, self.fraction);
        let number: i128 = shifted.parse().unwrap_or(0);
        let keep = match format {
            Format::BinarySi => number & 7 != 0,
            _ => scale % 3 == 0 && !shifted.ends_with("000") && !shifted.starts_with('0'),
        };
        debug_assert!(format != Format::BinarySi || exponent % 10 == 0);
        let value = number * multiplier * if self.negative { -1 } else { 1 };
        Quantity { value, scale, format, small: true, text: keep.then(|| text.to_owned()) }
    }

    /// Any other amount, rounded up to billionths and capped where binary.
    fn large(&self, mut format: Format, base: i32, exponent: i32) -> Quantity {
        let fraction = i32::try_from(self.fraction.len()).unwrap_or(i32::MAX);
        let (mut value, mut scale) = significant(self.whole, self.fraction);
        scale = scale.saturating_sub(fraction);
        if base == 10 {
            scale = scale.saturating_add(exponent);
        } else {
            for _ in 0..exponent {
                value = match value.checked_mul(2) {
                    Some(value) => value,
                    None => {
                        scale += 1;
                        value / 5
                    }
                };
            }
        }
        (value, scale) = rounded(value, scale, NANO);
        if format == Format::BinarySi {
            if compare(value, scale, i64::MAX.into(), 0).is_gt() {
                (value, scale) = (i64::MAX.into(), 0);
            }
            if value > 0 && compare(value, scale, 1, 0).is_lt() {
                format = Format::DecimalSi;
            }
        }
        if self.negative {
            value = -value;
        }
        Quantity { value, scale, format, small: false, text: None }
    }
}

/// The number that the digits make, and the power of ten to count it by (the digits beyond 37 are rounded up).
fn significant(whole: &str, fraction: &str) -> (i128, i32) {
    let (mut value, mut scale, mut lost) = (0i128, 0i32, false);
    for digit in whole.bytes().chain(fraction.bytes()) {
        let digit = i128::from(digit - b'0');
        if value < 10i128.pow(36) {
            value = value * 10 + digit;
        } else {
            scale = scale.saturating_add(1);
            lost |= digit != 0;
        }
    }
    (value + i128::from(lost), scale)
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

fn interpret(suffix: &str) -> Option<(i32, i32, Format)> {
    Some(match suffix {
        "n" => (10, -9, Format::DecimalSi),
        "u" => (10, -6, Format::DecimalSi),
        "m" => (10, -3, Format::DecimalSi),
        "" => (10, 0, Format::DecimalSi),
        "k" => (10, 3, Format::DecimalSi),
        "M" => (10, 6, Format::DecimalSi),
        "G" => (10, 9, Format::DecimalSi),
        "T" => (10, 12, Format::DecimalSi),
        "P" => (10, 15, Format::DecimalSi),
        "E" => (10, 18, Format::DecimalSi),
        "Ki" => (2, 10, Format::BinarySi),
        "Mi" => (2, 20, Format::BinarySi),
        "Gi" => (2, 30, Format::BinarySi),
        "Ti" => (2, 40, Format::BinarySi),
        "Pi" => (2, 50, Format::BinarySi),
        "Ei" => (2, 60, Format::BinarySi),
        _ => {
            let exponent: i64 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            // Go cuts it to 32 bits.
            (10, exponent as i32, Format::DecimalExponent)
        }
    })
}

/// Empty for powers that have no letter, as in Kubernetes.
fn decimal_suffix(exponent: i32) -> &'static str {
    match exponent {
        -9 => "n",
        -6 => "u",
        -3 => "m",
        3 => "k",
        6 => "M",
        9 => "G",
        12 => "T",
        15 => "P",
        18 => "E",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spelled(text: &str) -> String {
        Quantity::parse(text).unwrap().to_string()
    }

    #[test]
    fn spellings_are_kept_or_made_canonical_as_kubernetes_does() {
        for (text, expected) in [
            ("1000", "1k"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("1.1", "1100m"),
            ("1000Mi", "1000Mi"),
            ("1024", "1024"),
            ("1e3", "1e3"),
            ("12e6", "12e6"),
            ("1.5e3", "1500"),
            ("1e0", "1e0"),
            ("1E1", "10"),
            ("1e-3", "1e-3"),
            ("3e-2", "30e-3"),
            ("0.0000000001", "1n"),
            ("0", "0"),
            ("00", "0"),
            ("0Gi", "0"),
            ("+5", "+5"),
            ("-0.5", "-500m"),
            ("0.5Gi", "512Mi"),
            ("0.1Ki", "102400m"),
            ("1Ei", "1Ei"),
            ("16Ei", "9223372036854775807"),
            ("123456789012345678901", "123456789012345678901"),
        ] {
            assert_eq!(spelled(text), expected, "{text}");
        }
    }

    #[test]
    fn malformed_quantities_are_refused_in_kubernetes_words() {
        for text in ["", "abc", "1 Gi", "1.2.3", "{}", "5%"] {
            assert_eq!(Quantity::parse(text).unwrap_err(), FORMAT_ERROR, "{text}");
        }
        assert_eq!(Quantity::parse("1K").unwrap_err(), "unable to parse quantity's suffix");
        assert_eq!(Quantity::parse("1e").unwrap_err(), "unable to parse quantity's suffix");
    }

    #[test]
    fn amounts_add_up_and_compare_across_formats() {
        let mut sum = Quantity::parse("500m").unwrap();
        sum.add(&Quantity::parse("1").unwrap());
        assert_eq!(sum.to_string(), "1500m");
        assert!(Quantity::parse("1Gi").unwrap() > Quantity::parse("1G").unwrap());
        assert_eq!(Quantity::parse("1").unwrap(), Quantity::parse("1000m").unwrap());
        let mut rounded = Quantity::parse("0.0001").unwrap();
        rounded.round_up(-3);
        assert_eq!(rounded.to_string(), "1m");
    }

    proptest! {
        #[test]
        fn reading_never_panics_and_its_spelling_settles(text in "[+-]?[0-9]{0,45}(\\.[0-9]{0,20})?([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,6})?") {
            if let Ok(quantity) = Quantity::parse(&text) {
                let mut sum = quantity.clone();
                sum.add(&quantity);
                sum.round_up(-3);
                let _ = (quantity.milli_value(), quantity.value(), sum.to_string());
                let once = quantity.spelled();
                if let Ok(again) = Quantity::parse(&once) {
                    prop_assert_eq!(again.spelled(), once);
                }
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,20}") {
            let _ = Quantity::parse(&text);
        }
    }
}
