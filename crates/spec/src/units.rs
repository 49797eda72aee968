//! Durations and sizes as people write them.

use std::time::Duration;

/// Longest duration. Longer ones are slips, and this keeps every sum of them far from overflow.
const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Largest size: what SQLite's largest page size and count give, near enough.
const SIZE_MAX: u64 = 256 << 40;

/// Shape of a duration, for the JSON Schema.
pub(crate) const DURATION_PATTERN: &str = "^([0-9]+(ms|s|m|h|d))+$";

/// Shape of a size, for the JSON Schema.
pub(crate) const SIZE_PATTERN: &str = "^[0-9]+ ?(KiB|MiB|GiB|TiB|KB|MB|GB|TB)$";

/// Reads `500ms`, `30s`, `15m`, `1h30m`, `7d`.
///
/// # Errors
/// What it must be, to stand after the name of the key.
pub(crate) fn duration(text: &str) -> Result<Duration, &'static str> {
    const EXPECTED: &str = "must be a duration with its unit (ms, s, m, h or d), such as 30s or 15m";
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(EXPECTED);
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(EXPECTED)?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let unit_ms: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(EXPECTED),
        };
        // Digits only, so the one way to fail is to be too long; the empty text is neither.
        if number.is_empty() {
            return Err(EXPECTED);
        }
        let ms = number.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(unit_ms);
        total = total.saturating_add(Duration::from_millis(ms));
        rest = after;
    }
    if total > DURATION_MAX { Err("must be at most 366d") } else { Ok(total) }
}

/// Reads `512MiB`, `4GiB`, `10 GB`. Units: bytes.
///
/// # Errors
/// What it must be, to stand after the name of the key.
pub(crate) fn size(text: &str) -> Result<u64, &'static str> {
    const EXPECTED: &str =
        "must be a size with its unit (KiB, MiB, GiB, TiB, KB, MB, GB or TB), such as 4GiB";
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or(EXPECTED)?;
    let (number, unit) = text.split_at(digits);
    let unit: u64 = match unit.trim_start() {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return Err(EXPECTED),
    };
    if number.is_empty() {
        return Err(EXPECTED);
    }
    match number.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(unit) {
        0 => Err("must be more than nothing"),
        bytes if bytes > SIZE_MAX => Err("must be at most 256TiB"),
        bytes => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in
            [("0s", 0), ("500ms", 500), ("15m", 900_000), ("1h30m", 5_400_000), ("7d", 604_800_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in
            ["", "5", "s", "5 minutes", "-5s", "1.5h", "5s5", "5S", "367d", "99999999999999999999d", "5µs"]
        {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [("4GiB", 4 << 30), ("1 KB", 1000), ("256TiB", 256 << 40)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "4", "GiB", "4G", "0MiB", "257TiB", "99999999999999999999KB", "-1MiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
