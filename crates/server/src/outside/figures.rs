//! Numbers and times as people write them. Decimals are rounded digit by digit: none of them passes through a float.

use jiff::{Timestamp, civil, fmt::strtime, tz::TimeZone};
use minijinja::{Error, ErrorKind, Value, value::ValueKind};

/// Most digits after the point that are asked for.
const DECIMALS_MAX: usize = 20;
/// Most digits of a sum, before and after the point.
const SUM_DIGITS: usize = 30;

/// A number as text: sign, digits, perhaps a point and digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Figure {
    negative: bool,
    whole: String,
    fraction: String,
}

impl Figure {
    /// Reads `-1234.50`; nothing else is a number.
    pub(super) fn of_text(text: &str) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) || digits.ends_with('.') {
            return None;
        }
        let whole = whole.trim_start_matches('0');
        let whole = if whole.is_empty() { "0" } else { whole };
        Some(Self { negative, whole: whole.to_owned(), fraction: fraction.to_owned() })
    }

    /// A number of a template: a number, or the text of a decimal.
    pub(super) fn of(value: &Value) -> Result<Self, Error> {
        let text = match value.kind() {
            ValueKind::Number if value.is_integer() => value.to_string(),
            ValueKind::Number => match f64::try_from(value.clone()) {
                Ok(float) if float.is_finite() => float.to_string(),
                _ => String::new(),
            },
            ValueKind::String => value.as_str().unwrap_or_default().trim().to_owned(),
            _ => String::new(),
        };
        Self::of_text(&text).ok_or_else(|| wrong("a value that is not a number"))
    }

    /// About how large it is, for drawing.
    pub(super) fn size(&self) -> f64 {
        let size: f64 = format!("{}.{}", self.whole, self.fraction).parse().unwrap_or(f64::MAX);
        let size = size.min(f64::MAX);
        if self.negative { -size } else { size }
    }

    /// With so many digits after the point, half rounded away from zero.
    pub(super) fn rounded(&self, decimals: usize) -> Self {
        let mut digits: Vec<u8> = self.whole.bytes().chain(self.fraction.bytes()).collect();
        let keep = self.whole.len() + decimals;
        let up = digits.get(keep).is_some_and(|d| *d >= b'5');
        digits.resize(keep, b'0');
        if up {
            let mut at = digits.len();
            while at > 0 && digits[at - 1] == b'9' {
                digits[at - 1] = b'0';
                at -= 1;
            }
            match at {
                0 => digits.insert(0, b'1'),
                _ => digits[at - 1] += 1,
            }
        }
        let text: String = digits.into_iter().map(char::from).collect();
        let (whole, fraction) = text.split_at(text.len() - decimals);
        let zero = text.bytes().all(|d| d == b'0');
        Self { negative: self.negative && !zero, whole: whole.to_owned(), fraction: fraction.to_owned() }
    }

    /// `-1,234.50` with these separators.
    pub(super) fn written(&self, group: &str, point: &str) -> String {
        let mut out = if self.negative { "-".to_owned() } else { String::new() };
        for (at, digit) in self.whole.char_indices() {
            if at > 0 && (self.whole.len() - at).is_multiple_of(3) {
                out.push_str(group);
            }
            out.push(digit);
        }
        if !self.fraction.is_empty() {
            out.push_str(point);
            out.push_str(&self.fraction);
        }
        out
    }

    /// As it is, in groups of three.
    pub(super) fn grouped(&self) -> String {
        self.written(",", ".")
    }

    /// As a whole number of the last of `scale` digits after the point.
    fn scaled(&self, scale: usize) -> Option<i128> {
        if self.whole.len() + scale > SUM_DIGITS {
            return None;
        }
        let digits = format!("{}{:0<scale$}", self.whole, self.fraction);
        let number: i128 = digits.parse().ok()?;
        Some(if self.negative { -number } else { number })
    }
}

/// A number for an axis: few digits.
pub(super) fn plain(size: f64) -> String {
    let decimals = if size.abs() >= 10.0 || size.fract() == 0.0 { 0 } else { 2 };
    Figure::of_text(&format!("{size:.decimals$}"))
        .map_or_else(|| size.to_string(), |f| f.rounded(decimals).grouped())
}

/// The exact sum; the text of a decimal where there is a fraction.
pub(super) fn total(figures: &[Figure]) -> Result<Value, Error> {
    let scale = figures.iter().map(|f| f.fraction.len()).max().unwrap_or_default();
    let sum = figures.iter().try_fold(0_i128, |sum, figure| sum.checked_add(figure.scaled(scale)?));
    let sum = sum.ok_or_else(|| wrong("a sum with too many digits"))?;
    if scale == 0 {
        return Ok(Value::from(sum));
    }
    let digits = format!("{:0>width$}", sum.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    Ok(Value::from(format!("{}{whole}.{fraction}", if sum < 0 { "-" } else { "" })))
}

/// How many digits after the point, as a template asks for them.
pub(super) fn decimals(asked: Option<usize>, otherwise: usize) -> Result<usize, Error> {
    match asked.unwrap_or(otherwise) {
        decimals @ 0..=DECIMALS_MAX => Ok(decimals),
        _ => Err(wrong("at most 20 digits after the point")),
    }
}

/// A date or time in words of `strftime`. Instants are told in `zone` (UTC where none is given); a time without a zone stays as
/// it is.
pub(super) fn date(text: &str, format: &str, zone: Option<&str>) -> Result<String, Error> {
    let cannot = |_| wrong("a format that dates do not have");
    if let Ok(at) = text.parse::<Timestamp>() {
        let zone = match zone {
            Some(name) => TimeZone::get(name).map_err(|_| wrong("an unknown time zone"))?,
            None => TimeZone::UTC,
        };
        return strtime::format(format, &at.to_zoned(zone)).map_err(cannot);
    }
    if let Ok(at) = text.parse::<civil::DateTime>() {
        return strtime::format(format, at).map_err(cannot);
    }
    Err(wrong("a value that is neither a date nor a time"))
}

pub(super) fn wrong(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounded(text: &str, decimals: usize) -> String {
        Figure::of_text(text).expect("a number").rounded(decimals).grouped()
    }

    #[test]
    fn decimals_are_rounded_exactly() {
        for (text, decimals, expected) in [
            ("0.285", 2, "0.29"),
            ("-0.285", 2, "-0.29"),
            ("1.005", 2, "1.01"),
            ("999.995", 2, "1,000.00"),
            ("9.99", 0, "10"),
            ("-0.4", 0, "0"),
            ("1234567", 2, "1,234,567.00"),
            ("12345678901234567890.123456789", 3, "12,345,678,901,234,567,890.123"),
            ("007", 0, "7"),
        ] {
            assert_eq!(rounded(text, decimals), expected, "{text} to {decimals}");
        }
        for text in ["", "-", "1.", ".5", "1e3", "1,000", "NaN", "Infinity", "1.2.3", "--1"] {
            assert_eq!(Figure::of_text(text), None, "{text:?}");
        }
    }

    #[test]
    fn sums_are_exact() {
        let sum = |texts: &[&str]| {
            let figures: Vec<_> = texts.iter().map(|t| Figure::of_text(t).expect("a number")).collect();
            total(&figures).map(|v| v.to_string())
        };
        assert_eq!(sum(&["0.1", "0.2"]).expect("a sum"), "0.3");
        assert_eq!(sum(&["-0.05", "0.02"]).expect("a sum"), "-0.03");
        assert_eq!(sum(&["1", "2"]).expect("a sum"), "3");
        assert_eq!(sum(&[]).expect("a sum"), "0");
        assert!(sum(&["9999999999999999999999999999999", "1"]).is_err());
    }

    #[test]
    fn dates_in_words() {
        let at = |text, format, zone| date(text, format, zone).expect("a date");
        assert_eq!(at("2026-03-29", "%d %B %Y", None), "29 March 2026");
        assert_eq!(at("2026-03-29T00:30:00Z", "%H:%M", None), "00:30");
        assert_eq!(at("2026-03-29T01:30:00Z", "%H:%M %Z", Some("Europe/Berlin")), "03:30 CEST");
        assert_eq!(at("2026-03-29T01:30:00", "%H:%M", Some("Europe/Berlin")), "01:30");
        for (text, format, zone) in
            [("soon", "%d", None), ("2026-03-29T00:30:00Z", "%d", Some("Europe/Atlantis"))]
        {
            assert!(date(text, format, zone).is_err(), "{text}");
        }
    }
}
