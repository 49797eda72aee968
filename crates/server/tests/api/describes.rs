//! What the API says about itself.

use std::{collections::BTreeSet, path::Path};

use syncline_server::api::codes::Code;

use super::kit::World;

/// Rewrites the checked-in document instead of comparing it.
const UPDATE: &str = "UPDATE_OPENAPI";

#[test]
fn the_document_is_the_one_that_is_checked_in() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let made = syncline_server::api::document();
    #[expect(clippy::disallowed_methods, reason = "a switch for people, as other snapshots have")]
    let update = std::env::var_os(UPDATE).is_some();
    if update {
        std::fs::write(&path, made).expect("the document can be written");
        return;
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == made, "docs/openapi.json is not what the handlers say: {UPDATE}=1 makes it anew");
}

#[test]
fn the_document_is_openapi_3_1_and_names_every_operation() {
    let document: serde_json::Value = serde_json::from_str(&syncline_server::api::document()).expect("JSON");
    assert_eq!(document["openapi"], "3.1.0");
    let mut ids = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let id = operation["operationId"].as_str().expect("an id");
            assert!(ids.insert(id.to_owned()), "{id} is given twice: {method} {path}");
            let told = operation["summary"].as_str().or(operation["description"].as_str());
            assert!(told.is_some_and(|text| !text.is_empty()), "{method} {path} says nothing");
        }
    }
}

#[test]
fn no_two_shapes_have_the_same_name() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api");
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder).expect("the sources") {
        let text = std::fs::read_to_string(entry.expect("an entry").path()).expect("a source");
        let mut described = false;
        for line in text.lines() {
            described |= line.starts_with("#[derive(") && line.contains("ToSchema");
            let Some(rest) = line.strip_prefix("pub(crate) struct ").filter(|_| described) else { continue };
            let name = rest.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
            assert!(names.insert(name.to_owned()), "{name} is described twice: one would hide the other");
            described = false;
        }
    }
    assert!(names.len() > 50, "{names:?}");
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    let text = syncline_server::api::document();
    let document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let references: BTreeSet<&str> =
        text.split("\"$ref\": \"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(references.len() > 20, "{references:?}");
    let lost: Vec<_> = references.into_iter().filter(|path| document.pointer(path).is_none()).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

#[test]
fn every_code_has_its_page_and_every_page_its_code() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
    let pages: BTreeSet<String> = std::fs::read_dir(folder)
        .expect("the pages")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    let codes: BTreeSet<String> = Code::ALL.iter().map(|code| format!("{}.md", code.as_str())).collect();
    assert_eq!(pages, codes);
    for code in Code::ALL {
        let page = code.page();
        assert!(page.starts_with(&format!("# {}\n", code.title())), "{code:?}");
        for part in ["**What happened.**", "**Why.**", "**What to do.**"] {
            assert!(page.contains(part), "{code:?} lacks {part}");
        }
        let status = format!("Code `{}`, status {}", code.as_str(), code.status().as_u16());
        assert!(page.contains(&status), "{code:?} lacks {status:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_serves_document_and_pages() {
    let world = World::open().await;
    let served = world.get("/api/v1/openapi.json").await;
    assert_eq!(served.text, syncline_server::api::document());
    let problem = world.get("/nowhere").await.problem(404, "not_found");
    let page = world.get(problem["type"].as_str().expect("a type")).await;
    assert_eq!(page.text, Code::NotFound.page());
    world.get("/docs/errors/made_up.md").await.problem(404, "not_found");
}
