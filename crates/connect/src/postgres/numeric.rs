//! The binary form of `numeric`, from and to exact text.
//!
//! Four 16-bit words (digit groups, weight of the first group, sign, digits after the point), then groups of four
//! decimal digits: `numeric_send` in `src/backend/utils/adt/numeric.c`.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};
use syncline_core::decimal;

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;

/// Writes the number into `out` (cleared first) with exactly the digits after the point that the server shows.
/// Nothing when the form is broken.
pub(super) fn decode(raw: &[u8], out: &mut String) -> Option<()> {
    out.clear();
    let (head, groups) = raw.split_first_chunk::<8>()?;
    let word = |i: usize| u16::from_be_bytes([head[i], head[i + 1]]);
    let (count, weight, sign, scale) = (word(0), word(2).cast_signed(), word(4), word(6));
    match sign {
        0 => {}
        NEGATIVE => out.push('-'),
        NAN => {
            out.push_str("NaN");
            return Some(());
        }
        INFINITY => {
            out.push_str("Infinity");
            return Some(());
        }
        NEGATIVE_INFINITY => {
            out.push_str("-Infinity");
            return Some(());
        }
        _ => return None,
    }
    if groups.len() != usize::from(count) * 2 || scale > 0x3fff {
        return None;
    }
    // the group worth 10000^position; groups that are not sent are zero
    let group = |position: i32| -> u16 {
        usize::try_from(i32::from(weight) - position)
            .ok()
            .and_then(|i| groups.get(i * 2..i * 2 + 2))
            .map_or(0, |g| u16::from_be_bytes([g[0], g[1]]))
    };
    push_whole(weight, group, out);
    push_fraction(usize::from(scale), group, out);
    Some(())
}

fn push_whole(weight: i16, group: impl Fn(i32) -> u16, out: &mut String) {
    if weight < 0 {
        out.push('0');
        return;
    }
    let first = group(weight.into());
    let digits = digits(first);
    let leading = digits.iter().position(|d| *d != b'0').unwrap_or(3);
    digits[leading..].iter().for_each(|d| out.push(char::from(*d)));
    for position in (0..i32::from(weight)).rev() {
        self::digits(group(position)).iter().for_each(|d| out.push(char::from(*d)));
    }
}

fn push_fraction(scale: usize, group: impl Fn(i32) -> u16, out: &mut String) {
    if scale == 0 {
        return;
    }
    out.push('.');
    let (mut left, mut position) = (scale, -1);
    while left > 0 {
        let take = left.min(4);
        digits(group(position))[..take].iter().for_each(|d| out.push(char::from(*d)));
        left -= take;
        position -= 1;
    }
}

/// Four decimal digits. A group above 9999 does not occur; its digits would wrap, not panic.
fn digits(group: u16) -> [u8; 4] {
    let digit = |n: u16| b'0' + u8::try_from(n % 10).unwrap_or(0);
    [digit(group / 1000), digit(group / 100), digit(group / 10), digit(group)]
}

/// Appends the binary form of a decimal's text (`-12.50`, `NaN`, `Infinity`, `1e3`). Nothing when it is none, or has more
/// digits than the server takes.
pub(super) fn encode(text: &str, out: &mut BytesMut) -> Option<()> {
    // the server's form has no exponent
    let plain =
        if text.contains(['e', 'E']) { Cow::Owned(decimal::normal(text)) } else { Cow::Borrowed(text) };
    let text = plain.trim();
    let special = match text {
        "NaN" => Some(NAN),
        "Infinity" => Some(INFINITY),
        "-Infinity" => Some(NEGATIVE_INFINITY),
        _ => None,
    };
    if let Some(sign) = special {
        [0, 0, sign, 0].into_iter().for_each(|word| out.put_u16(word));
        return Some(());
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (NEGATIVE, digits),
        None => (0, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let scale = u16::try_from(fraction.len()).ok().filter(|s| *s <= 0x3fff)?;
    let whole = whole.trim_start_matches('0');
    // groups of four digits on either side of the point
    let lead = whole.len().div_ceil(4);
    let mut groups: Vec<u16> = Vec::with_capacity(lead + fraction.len().div_ceil(4));
    let first = whole.len() - (lead.saturating_sub(1)) * 4;
    let mut rest = whole;
    for index in 0..lead {
        let (group, after) = rest.split_at(if index == 0 { first } else { 4 });
        groups.push(group.parse().ok()?);
        rest = after;
    }
    let mut rest = fraction;
    while !rest.is_empty() {
        let (group, after) = rest.split_at(rest.len().min(4));
        let value: u16 = group.parse().ok()?;
        groups.push(value * 10_u16.pow(4 - u32::try_from(group.len()).ok()?));
        rest = after;
    }
    let mut weight = i16::try_from(lead).ok()? - 1;
    let leading = groups.iter().take_while(|g| **g == 0).count();
    weight -= i16::try_from(leading).ok()?;
    let last = groups.iter().rposition(|g| *g != 0).map_or(leading, |at| at + 1);
    let groups = &groups[leading.min(last)..last];
    if groups.is_empty() {
        [0, 0, 0, scale].into_iter().for_each(|word| out.put_u16(word));
        return Some(());
    }
    out.put_u16(u16::try_from(groups.len()).ok()?);
    out.put_i16(weight);
    out.put_u16(sign);
    out.put_u16(scale);
    groups.iter().for_each(|group| out.put_u16(*group));
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(words: &[u16]) -> Option<String> {
        let raw: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
        let mut out = "left over".to_owned();
        decode(&raw, &mut out).map(|()| out)
    }

    #[test]
    fn numbers_keep_every_digit() {
        for (words, expected) in [
            (&[2, 1, 0, 2, 45, 0][..], "450000.00"),
            (&[1, 1, 0, 2, 45], "450000.00"),
            (&[2, 0, NEGATIVE, 1, 12, 5000], "-12.5"),
            (&[0, 0, 0, 0], "0"),
            (&[0, 0, 0, 3], "0.000"),
            (&[1, 0xffff, 0, 4, 1], "0.0001"),
            (&[1, 0xfffe, 0, 8, 1], "0.00000001"),
            (&[1, 0xfffe, 0, 6, 100], "0.000001"),
            (&[3, 2, 0, 0, 1, 0, 1], "100000001"),
            (&[1, 2, 0, 0, 1], "100000000"),
            (&[0, 0, NAN, 0], "NaN"),
            (&[0, 0, INFINITY, 32], "Infinity"),
            (&[0, 0, NEGATIVE_INFINITY, 32], "-Infinity"),
        ] {
            assert_eq!(text(words).as_deref(), Some(expected));
        }
    }

    #[test]
    fn broken_forms_are_refused() {
        for words in [&[][..], &[1, 0, 0], &[2, 0, 0, 0, 1], &[1, 0, 0x1234, 0, 1], &[0, 0, 0, 0x4000]] {
            assert_eq!(text(words), None);
        }
    }
}
