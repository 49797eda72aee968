//! The scratch listing.

use std::sync::Arc;

use syncline_core::identity::Identity;

use super::{
    Place,
    world::{SYNC, World, fields, hash, id, row},
};
use crate::{LedgerRow, Scratch, Store};

/// A listed record of stream `stream`, as sync and store would have it for record `n`.
pub(super) fn listed(stream: &str, n: u64, stamp: Option<Identity>) -> Scratch {
    Scratch {
        stream: stream.to_owned(),
        record_id: n.to_string(),
        version: Some(format!("\"etag-{n},2\"")),
        stamp,
        natural: None,
        hash: hash(n),
        gone: false,
        fields: fields(&format!("PRJ-{n}")),
    }
}

async fn put(store: &Arc<dyn Store>, rows: &[Scratch]) {
    store.scratch_put(rows).await.expect("a scratch listing");
}

pub(super) async fn the_last_one_counts(place: Arc<dyn Place>) {
    let store = place.open().await;
    assert_eq!(store.scratch_count().await.expect("count"), []);
    let first = listed("a", 1, Some(id(1)));
    let second = Scratch { stamp: Some(id(2)), version: None, natural: Some([3; 32]), ..first.clone() };
    put(&store, &[first.clone(), listed("b", 1, None), first.clone(), second.clone()]).await;
    let counts = [("a".to_owned(), 1), ("b".to_owned(), 1)];
    assert_eq!(store.scratch_count().await.expect("count"), counts);
    let found = store.scratch_by_stamp(&[id(1), id(2)]).await.expect("by stamp");
    assert_eq!(found, [vec![], vec![second.clone()]]);

    store.scratch_remove("a", "999").await.expect("remove");
    store.scratch_remove("unheard of", "1").await.expect("remove");
    assert_eq!(store.scratch_count().await.expect("count"), counts);
    store.scratch_remove("a", "1").await.expect("remove");
    assert_eq!(store.scratch_count().await.expect("count"), [("b".to_owned(), 1)]);
    put(&store, &[second]).await;
    store.scratch_clear().await.expect("clear");
    assert_eq!(store.scratch_count().await.expect("count"), []);
    assert_eq!(store.scratch_by_stamp(&[id(2)]).await.expect("by stamp"), [vec![]]);
}

pub(super) async fn stamps_and_natural_keys_are_found(place: Arc<dyn Place>) {
    let store = place.open().await;
    let same = |n| listed("a", n, Some(id(7)));
    let natural = |n, stamp| Scratch { natural: Some([9; 32]), ..listed("b", n, stamp) };
    put(&store, &[same(1), same(2), listed("b", 3, Some(id(7))), same(4), natural(5, None)]).await;
    put(&store, &[natural(6, Some(id(6))), natural(8, None)]).await;

    let found = store.scratch_by_stamp(&[id(1), id(7), id(6)]).await.expect("by stamp");
    assert_eq!(found[0], []);
    assert_eq!(found[1].len(), 3, "enough to say that there are several");
    assert!(found[1].iter().all(|scratch| scratch.stamp == Some(id(7))));
    assert_eq!(found[2], [natural(6, Some(id(6)))]);
    let found = store.scratch_by_natural(&[[1; 32], [9; 32]]).await.expect("by natural key");
    assert_eq!(found[0], []);
    assert_eq!(found[1], [natural(5, None), natural(8, None)], "what is stamped is somebody's already");
}

pub(super) async fn what_the_ledger_knows_can_be_left_out(place: Arc<dyn Place>) {
    let world = World::of(&place).await;
    world.put([row(1), LedgerRow { gone: true, ..row(2) }]).await;
    let stream = row(1).stream;
    let listing = [
        listed(&stream, 1, Some(id(1))),
        listed(&stream, 2, None),
        listed(&stream, 3, Some(id(3))),
        listed("another", 1, None),
    ];
    put(&world.store, &listing).await;
    world.store.scratch_remove_owned("unheard of").await.expect("remove");
    world.store.scratch_remove_owned(SYNC).await.expect("remove");
    let counts = [("another".to_owned(), 1), (stream, 1)];
    assert_eq!(world.store.scratch_count().await.expect("count"), counts);
    let found = world.store.scratch_by_stamp(&[id(1), id(3)]).await.expect("by stamp");
    assert_eq!((found[0].len(), found[1].len()), (0, 1));
}

pub(super) async fn a_scratch_listing_does_not_outlive_the_store(place: Arc<dyn Place>) {
    let store = place.open().await;
    put(&store, &[listed("a", 1, None)]).await;
    drop(store);
    let store = place.open().await;
    assert_eq!(store.scratch_count().await.expect("count"), []);
}
