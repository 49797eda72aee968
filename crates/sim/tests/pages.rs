//! Pages, sizes, thresholds and visibility (facts §1.5, §2.7, §2.8).

use std::time::Duration;

use serde_json::json;
use syncline_sim::{Options, OversizeTop};

use crate::caller::{Bench, still};

async fn filled(options: Options, count: usize) -> (Bench, String) {
    let bench = Bench::start(options).await;
    let list = bench.list("Projects");
    for n in 0..count {
        let status = if n % 2 == 0 { "Active" } else { "Closed" };
        let fields = json!({ "Title": format!("T{n}"), "SynclineKey": format!("k{n}"), "Status": status });
        bench.world().create_item("Projects", fields.as_object().expect("fields")).expect("an item");
    }
    (bench, list)
}

fn ids(values: &[serde_json::Value]) -> Vec<u64> {
    values.iter().map(|item| item["id"].as_str().and_then(|id| id.parse().ok()).expect("an id")).collect()
}

#[tokio::test]
async fn the_default_page_has_200_items_and_links_keep_every_option() {
    let (bench, list) = filled(still(), 450).await;
    let (all, _, pages) = bench.pages(&format!("{list}/items?$select=id")).await;
    assert_eq!((all.len(), pages), (450, 3));
    assert_eq!(ids(&all), (1..=450).collect::<Vec<_>>());
    assert!(all.iter().all(|item| item.get("webUrl").is_none()), "$select holds on every page");
    let (all, _, pages) = bench.pages(&format!("{list}/items?$select=id&$top=400")).await;
    assert_eq!((all.len(), pages), (450, 2));
}

#[tokio::test]
async fn a_large_top_is_clamped_ignored_or_refused() {
    for (rule, first_page) in
        [(OversizeTop::Clamp, Some(50)), (OversizeTop::Ignore, Some(20)), (OversizeTop::Refuse, None)]
    {
        let mut options = still();
        options.switches.max_page_size = 50;
        options.switches.default_page_size = 20;
        options.switches.oversize_top = rule;
        let (bench, list) = filled(options, 60).await;
        let page = bench.get(&format!("{list}/items?$top=1000000&$select=id")).await;
        match first_page {
            Some(count) => assert_eq!(page.values().len(), count),
            None => assert_eq!((page.status, page.code()), (400, "invalidRequest")),
        }
    }
}

#[tokio::test]
async fn pages_can_be_empty_and_still_go_on() {
    let mut options = still();
    options.switches.trailing_empty_page = true;
    let (bench, list) = filled(options, 40).await;
    let (all, last, pages) = bench.pages(&format!("{list}/items?$top=20")).await;
    assert_eq!((all.len(), last.values().len(), pages), (40, 0, 3));

    let mut options = still();
    options.switches.scan_limit = Some(10);
    let (bench, list) = filled(options, 40).await;
    let filter = format!("{list}/items?$filter=startswith(fields/SynclineKey,'k39')");
    let (all, _, pages) = bench.pages(&filter).await;
    assert_eq!((ids(&all), pages), (vec![40], 4));
}

#[tokio::test]
async fn the_second_page_does_not_need_the_prefer_header() {
    let (bench, list) = filled(still(), 30).await;
    let path = format!("{list}/items?$filter=startswith(fields/Title,'T')&$top=10");
    let headers = [("Prefer", "HonorNonIndexedQueriesWarningMayFailRandomly")];
    let first = bench.send("GET", &path, &headers, None).await.expect("an answer");
    let (rest, _, pages) = bench.pages(first.body["@odata.nextLink"].as_str().expect("a link")).await;
    assert_eq!((rest.len(), pages), (20, 2));
}

#[tokio::test]
async fn a_scan_of_a_large_list_fails_in_spite_of_the_header() {
    let mut options = still();
    options.switches.list_view_threshold = 20;
    let (bench, list) = filled(options, 21).await;
    let headers = [("Prefer", "HonorNonIndexedQueriesWarningMayFailRandomly")];
    let path = format!("{list}/items?$filter=fields/Title eq 'T1'").replace(' ', "%20");
    let answer = bench.send("GET", &path, &headers, None).await.expect("an answer");
    assert_eq!((answer.status, answer.code()), (422, "notSupported"));
    assert_eq!(answer.body["error"]["innerError"]["code"], "tooManyResources");
    let indexed = bench.get(&format!("{list}/items?$filter=fields/Status%20eq%20'Active'")).await;
    assert_eq!(indexed.values().len(), 11);
}

#[tokio::test]
async fn order_by_an_indexed_column() {
    let (bench, list) = filled(still(), 12).await;
    let (all, _, _) =
        bench.pages(&format!("{list}/items?$orderby=fields/Status%20desc&$top=5&$select=id")).await;
    assert_eq!(ids(&all), [2, 4, 6, 8, 10, 12, 1, 3, 5, 7, 9, 11]);
}

#[tokio::test]
async fn filters_may_lag_behind_lists() {
    let mut options = still();
    options.switches.search_visibility_delay_ms = 3_000;
    let (bench, list) = filled(options, 1).await;
    let filter = format!("{list}/items?$filter=fields/SynclineKey%20eq%20'k0'");
    assert_eq!(bench.get(&filter).await.values().len(), 0);
    assert_eq!(bench.get(&format!("{list}/items")).await.values().len(), 1);
    assert_eq!(bench.get(&format!("{list}/items/1")).await.status, 200);
    bench.world().advance(Duration::from_secs(3));
    assert_eq!(bench.get(&filter).await.values().len(), 1);
}

#[tokio::test]
async fn delta_tokens_expire_by_age_and_by_hand() {
    let mut options = still();
    options.switches.delta_token_life_s = Some(3_600);
    options.token_expires_in = 86_400;
    let (bench, list) = filled(options, 3).await;
    let (_, last, _) = bench.pages(&format!("{list}/items/delta?$select=id")).await;
    let link = last.body["@odata.deltaLink"].as_str().expect("a link").to_owned();
    bench.world().advance(Duration::from_secs(3_600));
    assert_eq!(bench.get(&link).await.status, 200);
    bench.world().advance(Duration::from_secs(1));
    let gone = bench.get(&link).await;
    assert_eq!((gone.status, gone.code()), (410, "resyncChangesApplyDifferences"));
    let fresh = gone.header("location").expect("a fresh link").to_owned();
    let (all, _, _) = bench.pages(&fresh).await;
    assert_eq!(ids(&all), [1, 2, 3]);
    assert!(all[0].get("webUrl").is_none(), "the options of the old token go on");
    bench.world().expire_delta_tokens();
    assert_eq!(bench.get(&fresh).await.status, 410);
}
