//! The same key is the same record, another key another one, however it is spelled.

use proptest::prelude::*;
use syncline_core::{identity::Identity, value::Value};
use unicode_normalization::UnicodeNormalization;

use crate::values::{decimal, scalar, text};

fn texts(key: &[String]) -> Vec<Value<'static>> {
    key.iter().map(|t| Value::Text(t.clone().into())).collect()
}

fn spelled(text: &str) -> String {
    text.trim().nfc().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn texts_are_trimmed_and_composed(key in prop::collection::vec(text(), 1..4), before in "[ \t\r\n]{0,3}") {
        let noisy: Vec<String> =
            key.iter().map(|t| format!("{before}{}{before}", t.trim().nfd().collect::<String>())).collect();
        prop_assert_eq!(Identity::of(&texts(&noisy), false), Identity::of(&texts(&key), false));
    }

    #[test]
    fn two_keys_are_one_only_when_each_part_is(
        a in prop::collection::vec("[ab ]{0,3}", 1..4), b in prop::collection::vec("[ab ]{0,3}", 1..4)
    ) {
        let parts = |key: &[String]| key.iter().map(|t| spelled(t)).collect::<Vec<_>>();
        prop_assert_eq!(
            Identity::of(&texts(&a), false) == Identity::of(&texts(&b), false),
            parts(&a) == parts(&b)
        );
    }

    #[test]
    fn case_counts_only_where_it_should(key in "[a-zA-Zäöüß]{1,8}") {
        let of = |text: String, ignore| Identity::of(&[Value::Text(text.into())], ignore);
        prop_assert_eq!(of(key.to_lowercase(), true), of(key.clone(), true));
        prop_assert_eq!(of(key.to_lowercase(), false) == of(key.clone(), false), key.to_lowercase() == key);
    }

    #[test]
    fn numbers_have_one_identity(number in decimal()) {
        let of = |text: String| Identity::of(&[Value::Decimal(text.into())], false);
        prop_assert_eq!(of(syncline_core::decimal::normal(&number)), of(number));
    }

    /// The first null is named; nothing else is refused.
    #[test]
    fn only_null_has_no_identity(key in prop::collection::vec(scalar(), 1..5), ignore in any::<bool>()) {
        let null = key.iter().position(Value::is_null);
        prop_assert_eq!(Identity::of(&key, ignore).err(), null);
    }

    #[test]
    fn a_stamp_is_read_back(bytes in any::<[u8; 32]>()) {
        let identity = Identity(bytes);
        let stamp = identity.stamp();
        prop_assert!(stamp.len() == 64 && stamp.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
        prop_assert_eq!(Identity::from_stamp(&stamp), Some(identity));
        prop_assert_eq!(Identity::from_stamp(&stamp.to_uppercase()), Some(identity));
    }

    /// Only what could have been a stamp is one: somebody else's text in that column is nobody's identity.
    #[test]
    fn any_other_text_is_no_stamp(text in prop_oneof!["[0-9a-fA-F+ -]{64}", "[0-9a-f]{60,68}", "\\PC{0,70}", "[é0-9]{32,64}"]) {
        let expected = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let found = Identity::from_stamp(&text);
        prop_assert_eq!(found.is_some(), expected);
        prop_assert_eq!(found.map(|i| i.stamp()), expected.then(|| text.to_ascii_lowercase()));
    }
}

#[test]
fn a_sign_is_no_digit() {
    assert_eq!(Identity::from_stamp(&"+1".repeat(32)), None);
    assert!(Identity::from_stamp(&"01".repeat(32)).is_some());
}
