//! Definitions, events, tokens, alerts, settings.

use std::sync::Arc;

use syncline_core::alert::AlertKind;

use super::{
    ServicePlace,
    world::{at, projects, refused},
};
use crate::service::{
    AlertState, Definition, DefinitionKind, EventFilter, EventSearch, NewDefinition, NewEvent, NewToken,
    Subject, Token,
};

/// A definition of a sync; without a body, its removal.
pub(super) fn definition(name: &str, body: Option<&str>, seconds: i64) -> NewDefinition {
    NewDefinition {
        kind: DefinitionKind::Sync,
        name: name.to_owned(),
        body: body.map(str::to_owned),
        by: "ops".to_owned(),
        at: at(seconds),
    }
}

pub(super) async fn definitions_keep_every_version(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    let put = async |definition, expected| store.put_definition(definition, expected).await.expect("put");
    let revision = async || store.definitions_revision().await.expect("revision");
    let first = revision().await;
    assert_eq!(put(definition("a", Some("mode: full"), 1), Some(1)).await, None, "there is none");
    assert_eq!(put(definition("a", None, 1), None).await, None, "nothing to remove");
    assert_eq!(revision().await, first, "nothing changed");
    assert_eq!(put(definition("a", Some("mode: full"), 1), Some(0)).await, Some(1));
    assert_eq!(put(definition("a", Some("other"), 2), Some(0)).await, None, "there is one");
    assert_eq!(put(definition("a", Some("${NAME} \u{1F980}"), 2), Some(1)).await, Some(2));
    assert_eq!(put(definition("b", Some("b"), 3), None).await, Some(1));
    let project = NewDefinition { kind: DefinitionKind::Project, ..definition("", Some("project"), 4) };
    assert_eq!(put(project.clone(), None).await, Some(1));
    let chain = NewDefinition { kind: DefinitionKind::Chain, ..definition("a", Some("chain"), 4) };
    assert_eq!(put(chain.clone(), None).await, Some(1));
    assert_eq!(put(definition("b", None, 5), Some(1)).await, Some(2));
    let second = revision().await;
    assert!(second >= first + 6, "it rises with each change");

    let stored = |version, stored| Definition { version, stored };
    let newest =
        [stored(1, chain), stored(1, project), stored(2, definition("a", Some("${NAME} \u{1F980}"), 2))];
    assert_eq!(store.definitions().await.expect("definitions"), newest);
    let versions = async |name: &str, before, limit| {
        store.definition_versions(DefinitionKind::Sync, name, before, limit).await.expect("versions")
    };
    let of_b = [stored(2, definition("b", None, 5)), stored(1, definition("b", Some("b"), 3))];
    assert_eq!(versions("b", None, 9).await, of_b);
    assert_eq!(versions("b", Some(2), 9).await, of_b[1..]);
    assert_eq!(versions("b", None, 1).await, of_b[..1]);
    assert_eq!(versions("unheard of", None, 9).await, []);
    // What was removed is not there, and its numbers go on.
    assert_eq!(put(definition("b", Some("again"), 6), Some(2)).await, None);
    assert_eq!(put(definition("b", Some("again"), 6), Some(0)).await, Some(3));
    assert!(revision().await > second);
}

/// An event about a sync.
pub(super) fn event(kind: &str, subject: Option<Subject>, seconds: i64) -> NewEvent {
    NewEvent {
        at: at(seconds),
        kind: kind.to_owned(),
        subject,
        run: None,
        correlation: None,
        message: format!("{kind} happened"),
        data: serde_json::Value::Null,
    }
}

pub(super) async fn events_are_searched_backwards(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    let none = store.search_events(&EventSearch::default(), 9).await.expect("search");
    assert_eq!(none, (Vec::new(), None), "nothing happened yet");
    let said = |kind: &str, second, message: &str| NewEvent {
        message: message.to_owned(),
        ..event(kind, Some(projects()), second)
    };
    let events = [
        said("run.started", 1, "run 1 started"),
        said("run.failed", 2, "run 1 failed: 100% of Größe_x"),
        event("held.approved", Some(Subject::chain("nightly")), 3),
        said("run.started", 4, "RUN 2 started"),
    ];
    store.append_events(&events).await.expect("append");
    let look = async |search: EventSearch, limit| {
        let (found, next) = store.search_events(&search, limit).await.expect("search");
        (found.iter().map(|event| event.event.at).collect::<Vec<_>>(), next)
    };
    let text = |text: &str| EventSearch { text: Some(text.to_owned()), ..EventSearch::default() };
    assert_eq!(look(EventSearch::default(), 9).await, (vec![at(4), at(3), at(2), at(1)], None));
    let (first, next) = look(EventSearch::default(), 3).await;
    assert_eq!(first, [at(4), at(3), at(2)]);
    assert!(next.is_some(), "there is one more");
    let rest = EventSearch { before: next, ..EventSearch::default() };
    assert_eq!(look(rest, 3).await, (vec![at(1)], None));
    assert_eq!(look(text("run 2"), 9).await.0, [at(4)], "in any case");
    assert_eq!(look(text("NIGHTLY"), 9).await.0, [at(3)], "the subject too");
    assert_eq!(look(text("run.f"), 9).await.0, [at(2)], "and the kind");
    assert_eq!(look(text("100% of größe_x"), 9).await.0, [at(2)], "literally");
    assert_eq!(look(text("1%a"), 9).await.0, []);
    assert_eq!(look(text("GRÖSSE"), 9).await.0, []);
    let between = EventSearch { since: Some(at(2)), until: Some(at(3)), ..EventSearch::default() };
    assert_eq!(look(between, 9).await.0, [at(3), at(2)]);
    let filter = EventFilter { kind: Some("run.".to_owned()), ..EventFilter::default() };
    assert_eq!(look(EventSearch { filter, ..text("started") }, 9).await.0, [at(4), at(1)]);
    let beyond = EventSearch { before: Some(u64::MAX), ..EventSearch::default() };
    assert_eq!(look(beyond, 1).await.0, [at(4)]);
}

pub(super) async fn events_are_read_in_order(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    assert_eq!(store.event_range().await.expect("range"), (0, 0));
    assert_eq!(store.append_events(&[]).await.expect("append"), 0);
    let wide = NewEvent {
        run: Some(7),
        correlation: Some("c-1".to_owned()),
        data: serde_json::json!({ "rate": 0.1, "names": ["größe", null] }),
        ..event("run.finished", Some(projects()), 5)
    };
    let chain = Subject::chain("projects");
    let first = [event("run.started", Some(projects()), 1), event("runner", None, 2), wide.clone()];
    let third = store.append_events(&first).await.expect("append");
    let last = store.append_events(&[event("chain.step", Some(chain.clone()), 3)]).await.expect("append");
    assert!(last > third);
    assert_eq!(store.append_events(&[]).await.expect("append"), last);

    let all = store.events(&EventFilter::default(), 0, 9).await.expect("events");
    let kinds: Vec<_> = all.iter().map(|event| event.event.kind.as_str()).collect();
    assert_eq!(kinds, ["run.started", "runner", "run.finished", "chain.step"]);
    assert!(all.is_sorted_by_key(|event| event.id));
    assert_eq!((all[2].id, all[3].id), (third, last));
    assert_eq!(all[2].event, wide);
    assert_eq!(store.event_range().await.expect("range"), (last, all[0].id));

    let list = async |filter: EventFilter, after, limit| {
        let events = store.events(&filter, after, limit).await.expect("events");
        events.iter().map(|event| event.event.at).collect::<Vec<_>>()
    };
    let about = |subject: &Subject| EventFilter { subject: Some(subject.clone()), ..EventFilter::default() };
    let kind = |kind: &str| EventFilter { kind: Some(kind.to_owned()), ..EventFilter::default() };
    assert_eq!(list(EventFilter::default(), all[1].id, 1).await, [at(5)]);
    assert_eq!(list(EventFilter::default(), last, 9).await, []);
    assert_eq!(list(EventFilter::default(), u64::MAX, 9).await, []);
    assert_eq!(list(about(&projects()), 0, 9).await, [at(1), at(5)]);
    assert_eq!(list(about(&chain), 0, 9).await, [at(3)]);
    assert_eq!(list(kind("run."), 0, 9).await, [at(1), at(5)], "begins with this, literally");
    assert_eq!(list(kind("run%"), 0, 9).await, []);
    assert_eq!(list(EventFilter { run: Some(7), ..about(&projects()) }, 0, 9).await, [at(5)]);
    assert_eq!(list(EventFilter { run: Some(7), ..about(&chain) }, 0, 9).await, []);

    let nameless = event("", None, 9);
    refused("all or nothing", store.append_events(&[event("run.started", None, 9), nameless]).await);
    assert_eq!(store.event_range().await.expect("range").0, last);
}

pub(super) async fn tokens_come_and_go(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    let new = |name: &str, hash, expires: Option<i64>| NewToken {
        name: name.to_owned(),
        hash: [hash; 32],
        scopes: vec!["runs:read".to_owned(), "runs:write".to_owned()],
        created_at: at(0),
        expires_at: expires.map(at),
    };
    let id = store.add_token(new("ci", 1, Some(100))).await.expect("a token");
    let expected = Token { id, token: new("ci", 1, Some(100)), revoked_at: None, used_at: None };
    assert_eq!(store.token_by_hash(&[1; 32]).await.expect("token"), Some(expected.clone()));
    assert_eq!(store.token_by_hash(&[2; 32]).await.expect("token"), None);
    refused("the same hash", store.add_token(new("other", 1, None)).await);
    refused("a name in force", store.add_token(new("ci", 2, None)).await);
    store.touch_token(id, at(5)).await.expect("touch");
    store.touch_token(99, at(5)).await.expect("touch");
    assert!(store.revoke_token(id, at(9)).await.expect("revoke"));
    assert!(!store.revoke_token(id, at(10)).await.expect("revoke"), "revoked already");
    assert!(!store.revoke_token(99, at(10)).await.expect("revoke"), "there is none");
    let revoked = Token { revoked_at: Some(at(9)), used_at: Some(at(5)), ..expected };
    let next = store.add_token(new("ci", 2, Some(50))).await.expect("the name is free again");
    assert!(next > id);
    let expired = NewToken { created_at: at(50), ..new("ci", 3, None) };
    let last = store.add_token(expired).await.expect("an expired token does not keep its name");
    let tokens = store.tokens().await.expect("tokens");
    assert_eq!(tokens.iter().map(|token| token.id).collect::<Vec<_>>(), [id, next, last]);
    assert_eq!(tokens[0], revoked);
}

/// An alert about a sync.
pub(super) fn alert(active: bool, seconds: i64) -> AlertState {
    AlertState {
        rule: "on call".to_owned(),
        subject: projects(),
        kind: AlertKind::Late,
        active,
        since: at(seconds),
        told_at: None,
        message: None,
        attempts: 0,
        try_at: None,
    }
}

pub(super) async fn an_alert_is_swapped_by_who_saw_it(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    let swap = async |previous: Option<&AlertState>, next: &AlertState| {
        store.swap_alert(previous, next).await.expect("swap")
    };
    let (first, other) = (alert(true, 1), alert(false, 2));
    assert!(!swap(Some(&other), &first).await, "there is none");
    assert!(swap(None, &first).await);
    assert!(!swap(None, &other).await, "there is one");
    assert!(!swap(Some(&other), &other).await, "it is another");
    let full = AlertState {
        told_at: Some(at(3)),
        message: Some(serde_json::json!({ "text": "late by 0.1 h" })),
        attempts: 2,
        try_at: Some(at(4)),
        ..first.clone()
    };
    assert!(swap(Some(&first), &full).await);
    assert!(!swap(Some(&first), &other).await, "it has changed");
    let failed = AlertState { kind: AlertKind::Failed, ..first.clone() };
    let chain = AlertState { subject: Subject::chain("projects"), ..first.clone() };
    let ruled = AlertState { rule: "a rule".to_owned(), ..first };
    for separate in [&failed, &chain, &ruled] {
        assert!(swap(None, separate).await, "one per rule, subject and kind");
    }
    let mut states = store.alert_states().await.expect("states");
    states.sort_by_key(|s| (s.rule.clone(), s.subject.clone(), s.kind));
    assert_eq!(states, [ruled, failed, full, chain]);
}

pub(super) async fn settings_are_kept(place: Arc<dyn ServicePlace>) {
    let store = place.open().await;
    assert_eq!(store.setting("limits").await.expect("setting"), None);
    let limits = serde_json::json!({ "erp": 2, "share": 0.1 });
    for (name, value) in [("limits", &limits), ("zone", &serde_json::Value::Null), ("limits", &limits)] {
        store.set_setting(name, Some(value), "ops", at(1)).await.expect("set");
    }
    assert_eq!(store.setting("limits").await.expect("setting"), Some(limits.clone()));
    let all = [("limits".to_owned(), limits), ("zone".to_owned(), serde_json::Value::Null)];
    assert_eq!(store.settings().await.expect("settings"), all);
    store.set_setting("limits", None, "ops", at(2)).await.expect("forget");
    store.set_setting("unheard of", None, "ops", at(2)).await.expect("forget");
    assert_eq!(store.settings().await.expect("settings"), all[1..]);
}
