//! The JSON Schema and the reference say what the reader does.

use syncline_spec::json_schema;

use crate::world::CONNECTORS;

#[test]
fn the_json_schema() {
    let schema = serde_json::to_string_pretty(&json_schema(CONNECTORS)).unwrap();
    insta::assert_snapshot!("schema", schema);
}
