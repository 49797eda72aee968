//! A SharePoint list into tables, and back at the same time: what changes is told, what is forgotten is read.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::json;
use syncline_connect::{Source, registry::Connector as _, sharepoint};
use syncline_core::{
    connection::Connection,
    run::Status,
    sync::{DeletePolicy, Deletes, Mode, Sync, Write},
    value::Value,
};
use syncline_engine::{Engine, load, load::Table, progress::Silent};
use syncline_sim::{Fault, FaultWhen, OpKind};
use syncline_store::Run;
use tokio::sync::watch;

use super::world::{End, World as Tables, contents, sync};
use crate::world::{ACTIVE, World as Lists, assert_succeeded, code, field, fields};

/// A list that is pulled into a table.
struct Pull {
    lists: Lists,
    engine: Engine,
    source: Arc<dyn Source>,
    to: End,
}

impl Pull {
    async fn into(to: End) -> Self {
        let lists = Lists::new().await;
        let engine = lists.engine().await;
        let options = lists.intranet();
        let connection = Connection { name: "intranet".into(), kind: "sharepoint".into(), options };
        let connector = sharepoint::Connector::default();
        let source = connector.source(&connection, &lists.context(&engine)).await.unwrap();
        Self { lists, engine, source, to }
    }

    fn sync(&self) -> Sync {
        let base = sync(ACTIVE, "mirror");
        Sync {
            name: "pull".into(),
            mode: Mode::Incremental,
            write: Write::Mirror,
            rest: false,
            deletes: Deletes { policy: DeletePolicy::Delete, ..base.deletes.clone() },
            fields: vec![
                field("id", "id"),
                field("title", "Title"),
                field("budget", "BudgetAmount"),
                field("modified_at", "modified_at"),
            ],
            ..base
        }
    }

    /// One run; what the store remembers of it.
    async fn run(&self) -> Run {
        let database = self.to.database.clone().unwrap();
        let (table, problems) = Table::open(self.sync(), Arc::clone(&self.source), database).await.unwrap();
        let table = table.unwrap_or_else(|| panic!("{problems:?}"));
        let (_keep, cancel) = watch::channel(false);
        let options = load::run::Options { parallel: 2, ..load::run::Options::default() };
        let report = load::run::run(&self.engine, &table, &options, &Silent, cancel).await.unwrap();
        assert_eq!(report.status, Status::Succeeded, "{:?} {:?}", report.error, report.counts);
        self.engine.store.run(report.run).await.unwrap().unwrap()
    }

    /// The table holds what the list holds.
    async fn assert_equal(&self) {
        let (stream, rows) = contents(&self.to, "mirror").await;
        let title = stream.position("title").unwrap();
        let rows: BTreeMap<i64, String> = rows
            .into_iter()
            .map(|(id, row)| match row.unwrap().swap_remove(title) {
                Value::Text(title) => (id, title.into_owned()),
                other => panic!("{id}: {other:?}"),
            })
            .collect();
        let items = self.lists.server.world().items(ACTIVE).unwrap();
        let items: BTreeMap<i64, String> = items
            .iter()
            .map(|item| (i64::try_from(item.id).unwrap(), item.fields["Title"].as_str().unwrap().to_owned()))
            .collect();
        assert_eq!(rows, items, "{}", self.to.name);
    }

    fn create(&self, title: &str) -> u64 {
        let item = fields(&[("Title", title.into()), ("BudgetAmount", json!(0.1))]);
        self.lists.server.world().create_item(ACTIVE, &item).unwrap()
    }

    fn edit(&self, id: u64, title: &str) {
        self.lists.server.world().edit_item(ACTIVE, id, &fields(&[("Title", title.into())])).unwrap();
    }

    fn delete(&self, id: u64) {
        self.lists.server.world().delete_item(ACTIVE, id).unwrap();
    }
}

async fn a_list_is_mirrored(to: End) {
    let pull = Pull::into(to).await;
    let ids: Vec<u64> = (0..300).map(|n| pull.create(&format!("t{n}"))).collect();
    let first = pull.run().await;
    assert_eq!((first.mode.as_str(), first.counts.created), ("full", 300));
    pull.assert_equal().await;

    pull.edit(ids[0], "edited");
    pull.delete(ids[1]);
    pull.create("new");
    let second = pull.run().await;
    let counts = second.counts;
    assert_eq!((second.mode.as_str(), counts.read), ("incremental", 3), "{:?}", second.reason);
    assert_eq!((counts.created, counts.updated, counts.deleted), (1, 1, 1));
    pull.assert_equal().await;
    assert_eq!(pull.run().await.counts.read, 0);

    // The service forgets the position; a deletion is found by reading everything.
    pull.delete(ids[2]);
    pull.lists.server.world().expire_delta_tokens();
    let third = pull.run().await;
    // What is gone counts as read, so that the account closes.
    assert_eq!((third.counts.read, third.counts.deleted), (299 + 1, 1), "{third:?}");
    pull.assert_equal().await;

    // It fails inside a page of changes, as it does on some deletions.
    pull.delete(ids[3]);
    pull.edit(ids[4], "edited too");
    let once = FaultWhen { after: 0, count: Some(1), probability: None };
    pull.lists.fault_on(OpKind::Delta, once, Fault::BrokenDeletion);
    let fourth = pull.run().await;
    assert_eq!((fourth.counts.deleted, fourth.counts.updated), (1, 1), "{fourth:?}");
    pull.assert_equal().await;
    pull.edit(ids[5], "after it");
    let fifth = pull.run().await;
    assert_eq!((fifth.mode.as_str(), fifth.counts.read), ("incremental", 1), "{:?}", fifth.reason);
    pull.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_mirrored_into_postgres_and_sqlite() {
    Tables::with(|tables| async move {
        a_list_is_mirrored(tables.postgres().await).await;
        a_list_is_mirrored(tables.sqlite().await).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_pulled_while_another_sync_pushes_into_it() {
    Tables::with(|tables| async move {
        let pull = Pull::into(tables.sqlite().await).await;
        pull.lists.projects(1, 200);
        let (pushed, ()) = tokio::join!(pull.lists.run(), async {
            for _ in 0..5 {
                pull.run().await;
            }
        });
        assert_succeeded(&pushed);
        pull.lists.sql("UPDATE projects SET name = 'new', updated_at = '2026-02-01T00:00:00Z'");
        pull.lists.sql("DELETE FROM projects WHERE project_code = 'PRJ-00003'");
        let (pushed, ()) = tokio::join!(pull.lists.full(), async {
            for _ in 0..5 {
                pull.run().await;
            }
        });
        assert_succeeded(&pushed);
        pull.run().await;
        pull.assert_equal().await;
        let (_, rows) = contents(&pull.to, "mirror").await;
        assert!(!rows.is_empty() && !pull.lists.items().contains_key(&code(3)));
        let last = pull.engine.store.runs(Some("pull"), None, 1).await.unwrap().remove(0);
        assert_eq!(last.mode, "incremental", "{:?}", last.reason);
    })
    .await;
}
