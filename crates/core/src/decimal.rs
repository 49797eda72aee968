//! Exact decimals as text: normal form, scale, and whether a double can hold one.

/// The one text for a number: no leading or trailing zeros, no plus sign, no exponent, `-0` is `0`.
///
/// Accepts what databases and JSON print (`-0012.500`, `1e3`, `NaN`, `Infinity`); anything else comes back trimmed.
pub fn normal(text: &str) -> String {
    let text = text.trim();
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match digits.find(['e', 'E']) {
        Some(at) => match digits[at + 1..].parse::<i32>() {
            Ok(exponent) if exponent.unsigned_abs() <= 20_000 => (&digits[..at], exponent),
            _ => return text.to_owned(),
        },
        None => (digits, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
        return text.to_owned();
    }
    let (whole, fraction) = shift(whole, fraction, exponent);
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    if whole.is_empty() && fraction.is_empty() {
        return "0".to_owned();
    }
    let mut out = String::with_capacity(text.len() + 2);
    if negative {
        out.push('-');
    }
    out.push_str(if whole.is_empty() { "0" } else { whole });
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

/// Moves the decimal point by `exponent` places.
fn shift(whole: &str, fraction: &str, exponent: i32) -> (String, String) {
    let mut digits = format!("{whole}{fraction}");
    let mut point = whole.len() as i64 + i64::from(exponent);
    if point < 0 {
        digits = "0".repeat(point.unsigned_abs() as usize) + &digits;
        point = 0;
    }
    if point as usize > digits.len() {
        digits.push_str(&"0".repeat(point as usize - digits.len()));
    }
    let fraction = digits.split_off(point as usize);
    (digits, fraction)
}

/// The normal text of a double, by its shortest form that reads back as the same double.
pub fn of_double(value: f64) -> String {
    normal(&format!("{value}"))
}

/// The double nearest to a decimal, if the double's shortest text is the decimal again: nothing is lost on the way
/// to a system that stores doubles and back.
pub fn to_double_exactly(text: &str) -> Option<f64> {
    let value: f64 = text.trim().parse().ok()?;
    (value.is_finite() && of_double(value) == normal(text)).then_some(value)
}

/// Whether the text is a finite number.
pub fn is_finite(text: &str) -> bool {
    let text = text.trim();
    !text.is_empty() && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E'))
}

/// Whether a text looks like a number to a system that guesses: signs, digits, a point, an exponent, space around them.
pub fn is_number(text: &str) -> bool {
    let text = text.trim_ascii();
    text.bytes().any(|b| b.is_ascii_digit()) && text.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_forms() {
        for (given, expected) in [
            ("450000.00", "450000"),
            ("-0012.500", "-12.5"),
            ("0.10", "0.1"),
            (".5", "0.5"),
            ("5.", "5"),
            ("-0.00", "0"),
            ("1e3", "1000"),
            ("1.25E-3", "0.00125"),
            ("12e-1", "1.2"),
            ("+7", "7"),
            ("NaN", "NaN"),
            ("99999999999999999999999999999999999999.99", "99999999999999999999999999999999999999.99"),
        ] {
            assert_eq!(normal(given), expected, "{given}");
        }
    }

    #[test]
    fn texts_that_look_like_numbers() {
        for text in ["007", "-1.50", "+.5", "5.", "1e3", " 12\n"] {
            assert!(is_number(text), "{text:?}");
        }
        for text in ["", " ", "2026-01-31", "inf", "NaN", "0x10", "1 2", "12a", "."] {
            assert!(!is_number(text), "{text:?}");
        }
    }

    #[test]
    fn cents_survive_or_are_refused() {
        assert_eq!(to_double_exactly("1234567890123.45"), Some(1_234_567_890_123.45));
        assert_eq!(to_double_exactly("0.10"), Some(0.1));
        assert_eq!(to_double_exactly("12345678901234567.89"), None);
        assert_eq!(to_double_exactly("9007199254740993"), None);
        assert_eq!(to_double_exactly("NaN"), None);
        assert_eq!(of_double(1e21), "1000000000000000000000");
    }
}
