//! `syncline tokens`

use serde_json::json;

use crate::kit::Place;

const PROJECT: &str = "\
connections:
  a: { type: sqlite, path: a.db }
  b: { type: sqlite, path: b.db }
syncs:
  s:
    from: { connection: a, table: t, key: [k] }
    to: { connection: b, table: t }
";

#[test]
fn a_token_is_printed_once_listed_and_revoked() {
    let place = Place::empty();
    place.write("syncline.yaml", PROJECT);
    place.syncline(&["tokens", "list"]).with_code(1).saying("there is no store");
    let create =
        |more: &[&str]| place.syncline(&[&["tokens", "create", "ci", "--scope", "run"], more].concat());
    create(&["--expires", "0s"]).with_code(2).saying("--expires is a time such as 90d or 12h");
    create(&["--expires", "soon"]).with_code(2).saying("--expires");
    let made = create(&["--expires", "90d"]).with_code(0);
    let secret = made.out.trim();
    assert!(
        secret.starts_with("syn_") && secret.len() == 47,
        "standard output is the token alone: {}",
        made.out
    );
    create(&[]).with_code(2).saying("there is a token \"ci\" already");
    let listed = place.syncline(&["tokens", "list", "--json"]).with_code(0);
    assert!(!listed.out.contains(secret));
    let token = &listed.json()[0];
    assert_eq!(
        (&token["name"], &token["scopes"], &token["in_force"]),
        (&json!("ci"), &json!(["run"]), &json!(true))
    );
    place.syncline(&["tokens", "list"]).with_code(0).saying("expires");
    place.syncline(&["tokens", "revoke", "1"]).with_code(0).saying("token 1 is revoked");
    place.syncline(&["tokens", "revoke", "1"]).with_code(2).saying("there is no token 1 in force");
    assert_eq!(place.syncline(&["tokens", "list", "--json"]).json()[0]["in_force"], false);
    create(&[]).with_code(0);
    let store = std::fs::read(place.path(".syncline/store.db")).expect("the store");
    assert!(
        !store.windows(secret.len()).any(|part| part == secret.as_bytes()),
        "the store holds a hash only"
    );
}
