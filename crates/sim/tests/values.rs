//! Values at their limits, and the switches about them (facts §2.5).

use serde_json::{Value, json};
use syncline_sim::{Hyperlinks, ListSpec, Options, UniqueViolation, ZonelessDates};

use crate::caller::{Bench, SITE, still};

async fn typed(options: Options) -> (Bench, String) {
    let bench = Bench::start(options).await;
    let columns = [
        json!({ "name": "Key", "text": {}, "indexed": true, "enforceUniqueValues": true }),
        json!({ "name": "Note", "text": { "allowMultipleLines": true } }),
        json!({ "name": "Amount", "currency": { "locale": "de-de" } }),
        json!({ "name": "Due", "dateTime": {} }),
        json!({ "name": "Link", "hyperlinkOrPicture": {} }),
        json!({ "name": "Free", "choice": { "choices": ["A"], "allowTextEntry": true } }),
        json!({ "name": "Refs", "lookup": { "listId": "x", "allowMultipleValues": true } }),
        json!({ "name": "Level", "number": {}, "defaultValue": { "value": "3" } }),
        json!({ "name": "Area", "text": {}, "required": true, "defaultValue": { "value": "North" } }),
    ];
    let spec = ListSpec { display_name: "Typed".into(), columns: columns.to_vec(), ..ListSpec::default() };
    bench.world().add_list(&spec).expect("a list");
    (bench, format!("{SITE}/lists/Typed"))
}

async fn stored(bench: &Bench, list: &str, fields: Value) -> Result<Value, u16> {
    let answer = bench.create(list, fields).await;
    if answer.status == 201 { Ok(answer.body["fields"].clone()) } else { Err(answer.status) }
}

#[tokio::test]
async fn text_and_notes_have_limits() {
    let (bench, list) = typed(still()).await;
    assert!(stored(&bench, &list, json!({ "Title": "ä".repeat(255) })).await.is_ok());
    assert_eq!(stored(&bench, &list, json!({ "Title": "a".repeat(256) })).await, Err(400));
    assert_eq!(stored(&bench, &list, json!({ "Title": "two\nlines" })).await, Err(400));
    assert!(stored(&bench, &list, json!({ "Note": "n".repeat(1_000_000) })).await.is_ok());
    assert_eq!(stored(&bench, &list, json!({ "Note": "n".repeat(2_000_000) })).await, Err(400));
    assert_eq!(stored(&bench, &list, json!({ "Note": "n".repeat(5_000_000) })).await, Err(413));
    let empty = stored(&bench, &list, json!({ "Title": "" })).await.expect("stored");
    assert!(empty.get("Title").is_none(), "an empty column is absent");
}

#[tokio::test]
async fn numbers_are_doubles_and_dates_whole_seconds() {
    let (bench, list) = typed(still()).await;
    let fields =
        stored(&bench, &list, json!({ "Amount": 0.1, "Due": "2026-03-01T00:30:00.999999+01:00" })).await;
    let fields = fields.expect("stored");
    assert_eq!((&fields["Amount"], &fields["Due"]), (&json!(0.1), &json!("2026-02-28T23:30:00Z")));
    let wide: Value = serde_json::from_str(r#"{ "Amount": 12345678901234567.89 }"#).expect("JSON");
    let fields = stored(&bench, &list, wide).await.expect("stored");
    assert_eq!(fields["Amount"].as_f64(), Some(12_345_678_901_234_568.0), "what a double holds");
    let fields = stored(&bench, &list, json!({ "Due": "2026-02-28" })).await.expect("stored");
    assert_eq!(fields["Due"], "2026-02-28T00:00:00Z");
}

#[tokio::test]
async fn dates_without_zone_and_hyperlinks_are_switches() {
    let zoneless = json!({ "Due": "2025-12-21T01:59:16.169893" });
    let link = json!({ "Link": { "Url": "https://a.example", "Description": "a" } });
    let (bench, list) = typed(still()).await;
    let fields = stored(&bench, &list, zoneless.clone()).await.expect("stored");
    assert_eq!(fields["Due"], "2025-12-21T01:59:16Z");
    assert_eq!(stored(&bench, &list, link.clone()).await, Err(400));

    let mut options = still();
    options.switches.zoneless_dates = ZonelessDates::Refuse;
    options.switches.hyperlinks = Hyperlinks::Accept;
    let (bench, list) = typed(options).await;
    assert_eq!(stored(&bench, &list, zoneless).await, Err(400));
    let fields = stored(&bench, &list, link.clone()).await.expect("stored");
    assert_eq!(fields["Link"], link["Link"]);
}

#[tokio::test]
async fn defaults_choices_and_lookups() {
    let (bench, list) = typed(still()).await;
    let refs = json!({ "Free": "other", "RefsLookupId@odata.type": "Collection(Edm.Int32)", "RefsLookupId": [175, 176] });
    let fields = stored(&bench, &list, refs).await.expect("stored");
    assert_eq!(
        (&fields["Level"], &fields["Area"], &fields["Free"]),
        (&json!(3), &json!("North"), &json!("other"))
    );
    assert_eq!(fields["Refs"][1]["LookupId"], 176);
    assert_eq!(stored(&bench, &list, json!({ "Area": null })).await, Err(400), "required and cleared");
}

#[tokio::test]
async fn types_are_strict_unless_switched() {
    let loose = json!({ "Level": "12", "Title": 7 });
    let (bench, list) = typed(still()).await;
    assert_eq!(stored(&bench, &list, loose.clone()).await, Err(400));
    let mut options = still();
    options.switches.lenient_types = true;
    let (bench, list) = typed(options).await;
    let fields = stored(&bench, &list, loose).await.expect("stored");
    assert_eq!((&fields["Level"], &fields["Title"]), (&json!(12), &json!("7")));
}

#[tokio::test]
async fn a_unique_column_frees_values_that_are_gone() {
    let mut options = still();
    options.switches.unique_violation = UniqueViolation::NameAlreadyExists;
    options.switches.text_ignores_case = false;
    let (bench, list) = typed(options).await;
    assert!(stored(&bench, &list, json!({ "Key": "a" })).await.is_ok());
    assert!(stored(&bench, &list, json!({ "Key": "A" })).await.is_ok(), "case counts under this switch");
    let taken = bench.create(&list, json!({ "Key": "a" })).await;
    assert_eq!((taken.status, taken.code()), (409, "nameAlreadyExists"));
    let patch = |id: u32, key: &'static str| {
        let (bench, path) = (&bench, format!("{list}/items/{id}/fields"));
        async move { bench.call("PATCH", &path, Some(json!({ "Key": key }))).await }
    };
    assert_eq!(patch(2, "a").await.status, 409);
    assert_eq!(patch(1, "b").await.status, 200);
    assert_eq!(patch(2, "a").await.status, 200, "the value was given up");
    assert_eq!(patch(2, "a").await.status, 200, "its own value is no conflict");
    bench.call("DELETE", &format!("{list}/items/1"), None).await;
    assert!(stored(&bench, &list, json!({ "Key": "b" })).await.is_ok());
    let twice = bench.world().duplicate_item("Typed", 2);
    assert!(twice.is_err(), "a copy would hold the same key");
}

#[tokio::test]
async fn a_full_list_is_507_and_an_unknown_shape_is_refused() {
    let bench = Bench::start(still()).await;
    let spec = ListSpec { display_name: "Small".into(), max_items: Some(1), ..ListSpec::default() };
    bench.world().add_list(&spec).expect("a list");
    let list = format!("{SITE}/lists/Small");
    assert_eq!(bench.create(&list, json!({})).await.status, 201);
    let full = bench.create(&list, json!({})).await;
    assert_eq!((full.status, full.code()), (507, "quotaLimitReached"));
}

#[tokio::test]
async fn twelve_lookups_at_most() {
    let bench = Bench::start(still()).await;
    let columns = (0..13).map(|n| json!({ "name": format!("L{n}"), "lookup": { "listId": "x" } })).collect();
    bench
        .world()
        .add_list(&ListSpec { display_name: "Wide".into(), columns, ..ListSpec::default() })
        .expect("a list");
    let list = format!("{SITE}/lists/Wide");
    assert_eq!(bench.get(&format!("{list}/items?$expand=fields")).await.status, 400);
    assert_eq!(bench.get(&format!("{list}/items?$expand=fields($select=L1LookupId)")).await.status, 200);
}
