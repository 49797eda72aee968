//! The fingerprint of a sync is stored: it may not change by accident, or every sync of every user reads in full.

use crate::{
    good_projects::DESIGN,
    world::{load, sync},
};

#[test]
fn golden_values() {
    assert_eq!(
        load(DESIGN).project.syncs[0].fingerprint(),
        "ef02104af7b1716f442fff305d7960bf7210045656b7eccaf563d77a847f4496"
    );
    assert_eq!(sync("").fingerprint(), "7a5d0108cc755f274cdccfa734bfe4c4940ab32ffedc009e0a6d1a158a874d7a");
    assert_eq!(
        sync(
            "    from: { connection: a, table: t, key: { hashed: all }, cursor: c, tombstone: d, filter: 'x > 1' }
    fields: { F: { from: c, required: true, default: 0.50, as: hyperlink, direction: both }, G: { cel: 'x + 1' } }
"
        )
        .fingerprint(),
        "d03d8f05ded62731e9a2ea465cee7c35f88919649f1a4dff8eb25ccfdf76bc20"
    );
}

#[test]
fn what_matters_and_what_does_not() {
    let of = |from: &str, to: &str, rest: &str| {
        sync(&format!(
            "    from: {{ connection: a, table: t{from} }}\n    to: {{ connection: b, list: {to} }}\n{rest}"
        ))
        .fingerprint()
    };
    let fields = "    fields: { A: x, B: y }\n";
    let plain = of("", "l", fields);
    for (from, rest) in [
        ("", "    fields: { B: y, A: { from: x } }\n"),
        (", overlap: 5m, lag: 1m", fields),
        ("", "    fields: { A: x, B: y }\n    batch: 7\n    on_edit: report\n"),
        ("", "    fields: { A: x, B: y }\n    adopt: { by: [A] }\n"),
    ] {
        assert_eq!(of(from, "l", rest), plain, "{from} {rest}");
    }
    let different = [
        of("", "other", fields),
        of(", key: [x]", "l", fields),
        of(", key: [x, y]", "l", fields),
        of(", key: [y, x]", "l", fields),
        of(", key: { unique: x }", "l", fields),
        of(", key: { hashed: [x] }", "l", fields),
        of(", key: { ignore_case: true }", "l", fields),
        of(", cursor: x", "l", fields),
        of(", tombstone: x", "l", fields),
        of(", filter: 'x > 1'", "l", fields),
        of(", filter: 'x > 2'", "l", fields),
        of("", "l", "    fields: { A: x, B: y }\n    deletes: soft\n"),
        of("", "l", "    fields: { A: y, B: x }\n"),
        of("", "l", "    fields: { A: x }\n"),
        of("", "l", "    fields: { A: { cel: x }, B: y }\n"),
        of("", "l", "    fields: { A: { from: x, default: 1 }, B: y }\n"),
        of("", "l", "    fields: { A: { from: x, default: '1' }, B: y }\n"),
        of("", "l", &format!("{fields}    route: [{{ when: p, list: m }}, {{ when: q, list: n }}]\n")),
        of("", "l", &format!("{fields}    route: [{{ when: q, list: n }}, {{ when: p, list: m }}]\n")),
    ];
    let mut all: Vec<&String> = different.iter().chain([&plain]).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), different.len() + 1);
}
