//! Identity: the normalised key of a record, hashed.

use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;

use crate::{
    canonical,
    value::{Value, hex},
};

/// SHA-256 over the normalised key values; the same record has the same identity in every run and on every machine.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity(pub [u8; 32]);

impl Identity {
    /// The identity of a key.
    ///
    /// Text is trimmed, put into NFC and, with `ignore_case`, lower-cased; numbers lose insignificant zeros. Values
    /// are joined with their type and length, so that `("a", "bc")` and `("ab", "c")` differ.
    ///
    /// # Errors
    /// The index of the first key value that is null (a record without a key has no identity).
    pub fn of(key: &[Value<'_>], ignore_case: bool) -> Result<Self, usize> {
        let mut bytes = Vec::with_capacity(64);
        for (index, value) in key.iter().enumerate() {
            match value {
                Value::Null => return Err(index),
                Value::Text(text) => {
                    let trimmed = text.trim();
                    let text = if trimmed.is_ascii() { trimmed.to_owned() } else { trimmed.nfc().collect() };
                    let text = if ignore_case { text.to_lowercase() } else { text };
                    canonical::write(&Value::Text(text.into()), &mut bytes);
                }
                other => canonical::write(other, &mut bytes),
            }
        }
        Ok(Self(Sha256::digest(&bytes).into()))
    }

    /// An identity for a record that has none of its own (null key, second record with the same key), so that it can
    /// be parked and seen: over all its values and a reason. Never stamped on a destination record.
    pub fn of_keyless(reason: &str, values: &[Value<'_>]) -> Self {
        let mut bytes = Vec::with_capacity(128);
        canonical::write(&Value::Text(reason.into()), &mut bytes);
        for value in values {
            canonical::write(value, &mut bytes);
        }
        Self(Sha256::digest(&bytes).into())
    }

    /// Lower-case hexadecimal, 64 characters: the form that is stamped on destination records.
    pub fn stamp(&self) -> String {
        hex(&self.0)
    }

    /// Reads a stamp, in letters of either case; any other text is none.
    pub fn from_stamp(stamp: &str) -> Option<Self> {
        let bytes = stamp.as_bytes();
        if bytes.len() != 64 {
            return None;
        }
        let mut id = [0; 32];
        // Digit by digit: the library's parser takes "+1" for a number too.
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
        for (i, pair) in bytes.chunks(2).enumerate() {
            id[i] = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(id))
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({})", hex(&self.0[..6]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(key: &[Value<'_>]) -> Identity {
        Identity::of(key, false).unwrap()
    }

    #[test]
    fn joined_unambiguously_and_normalised() {
        let text = |s: &'static str| Value::Text(s.into());
        assert_ne!(id(&[text("a"), text("bc")]), id(&[text("ab"), text("c")]));
        assert_eq!(id(&[text(" PRJ-1 ")]), id(&[text("PRJ-1")]));
        assert_eq!(id(&[text("cafe\u{301}")]), id(&[text("café")]));
        assert_ne!(id(&[text("a")]), id(&[text("A")]));
        assert_eq!(Identity::of(&[text("a")], true), Identity::of(&[text("A")], true));
        assert_eq!(id(&[Value::Decimal("1.50".into())]), id(&[Value::Decimal("1.5".into())]));
        assert_ne!(id(&[Value::Int64(1)]), id(&[text("1")]));
        assert_eq!(Identity::of(&[Value::Int64(1), Value::Null], false), Err(1));
    }

    #[test]
    fn is_stable_across_versions() {
        // SHA-256 of 05, the length 7 as u64 LE, and the text, computed independently. A changed identity would orphan every stamped record of every user.
        assert_eq!(
            id(&[Value::Text("PRJ-001".into())]).stamp(),
            "de49f2b18590b5e489c25009f610ed6a9259a2c3d52570199f853f3e4564e01f"
        );
    }

    #[test]
    fn stamps_are_read_back() {
        let identity = id(&[Value::Int64(7)]);
        assert_eq!(Identity::from_stamp(&identity.stamp()), Some(identity));
        assert_eq!(Identity::from_stamp("zz"), None);
    }
}
