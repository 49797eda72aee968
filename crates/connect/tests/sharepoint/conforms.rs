//! The destination contract, under every answer to what no documentation settles.

use syncline_connect::conformance::destination;
use syncline_sim::{
    Options, OversizeTop, PartOrder, ResyncCode, Switches, ThrottleBody, UniqueViolation, WindowKind,
    ZonelessDates,
};

use super::kit::Sim;

#[tokio::test]
async fn over_http() {
    destination::all(&Sim::with(Switches::default()).await).await;
}

#[tokio::test]
async fn over_tls() {
    destination::all(&Sim::start(Options { tls: true, ..Options::default() }).await).await;
}

#[tokio::test]
async fn where_every_undocumented_rule_is_the_other_way_round() {
    let switches = Switches {
        list_by_title: false,
        columns_show_hidden: false,
        create_returns_fields: false,
        default_page_size: 7,
        max_page_size: 7,
        trailing_empty_page: true,
        scan_limit: Some(1),
        unique_violation: UniqueViolation::NameAlreadyExists,
        text_ignores_case: false,
        trim_text: true,
        lenient_types: true,
        zoneless_dates: ZonelessDates::Refuse,
        required_columns: false,
        etag_star: false,
        resync_code: ResyncCode::SyncStateNotFound,
        delta_duplicates: 0.5,
        delta_shuffled: true,
        batch_limit_status: 413,
        batch_execution: PartOrder::Shuffled,
        batch_responses: PartOrder::Reversed,
        throttle_window: WindowKind::Fixed,
        throttle_body: ThrottleBody::ActivityLimitReached,
        charge_throttled: false,
        ..Switches::default()
    };
    destination::all(&Sim::with(switches).await).await;
}

#[tokio::test]
async fn where_our_page_size_is_refused_or_ignored() {
    for oversize_top in [OversizeTop::Refuse, OversizeTop::Ignore] {
        let switches =
            Switches { oversize_top, default_page_size: 11, max_page_size: 50, ..Switches::default() };
        let sim = Sim::with(switches).await;
        destination::listings_are_complete_or_an_error(&sim).await;
        destination::deletions_show_in_listings(&sim).await;
    }
}
