//! `transform`: functions by name, on a column.

use syncline_core::sync::Origin;

use crate::world::{load, problems, project};

/// Checks the problems of lines of a sync; they start in line 6, column 5.
#[track_caller]
fn check_sync(lines: &str, expected: &[&str]) {
    let expected: String = expected.iter().map(|line| format!("p.yaml:{line}\n")).collect();
    assert_eq!(problems(&project(lines)), expected);
}

#[test]
fn transforms_are_expressions() {
    let loaded = load(&project(
        "    fields: { A: { from: E-mail, transform: [trim, lower] }, B: { from: x, transform: domain } }\n",
    ));
    let expressions: Vec<(&str, &[String])> = loaded.project.syncs[0]
        .fields
        .iter()
        .map(|field| match &field.from {
            Origin::Expression(expr) => (expr.text(), expr.variables()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        expressions,
        [("lower(trim(`E-mail`))", &["E-mail".to_owned()][..]), ("domain(x)", &["x".to_owned()][..]),]
    );
}

#[test]
fn what_is_wrong_with_a_transform() {
    check_sync(
        "    fields: { A: { from: x, transform: [trim, lowre] }, B: { from: y, transform: strip }, C: { cel: z, transform: trim } }\n",
        &[
            r#"6:47: syncs.s.fields.A.transform[1] must be domain, email, lower, nfc or trim, not "lowre"; did you mean "lower"?"#,
            r#"6:82: syncs.s.fields.B.transform must be domain, email, lower, nfc or trim, not "strip"; it is called "trim""#,
            "6:104: syncs.s.fields.C.transform needs from: the source column it is applied to; write the functions into the expression",
        ],
    );
    check_sync(
        "    fields: { A: { from: x, transform: [] }, B: { from: y, transform: lower, direction: both } }\n",
        &[
            "6:40: syncs.s.fields.A.transform must not be empty",
            "6:89: syncs.s.fields.B.direction must be push: an expression cannot be turned round",
        ],
    );
}
