//! `syncline schema`

use crate::{
    args::SchemaArgs,
    exit::{Exit, Failure},
    output, wiring,
};

pub(crate) fn run(_args: &SchemaArgs) -> Result<Exit, Failure> {
    let schema = syncline_spec::json_schema(&wiring::registry().specs());
    let text = serde_json::to_string_pretty(&schema)
        .map_err(|error| Failure::failed(format!("the schema cannot be written: {error}")))?;
    output::line(text);
    Ok(Exit::Done)
}
