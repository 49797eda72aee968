//! What every connection for single statements must do: each sentence of the [`Statements`] contract as a check.

use std::{future::Future, pin::pin, sync::Arc, task::Poll, time::Duration};

use async_trait::async_trait;
use futures::poll;
use syncline_core::value::Value;

use crate::{
    Statements,
    error::Kind,
    statements::{Params, ROWS_MAX, Rows},
};

/// Longer than any of the statements takes that are to end by themselves.
const AMPLE: Duration = Duration::from_secs(60);
/// For those that would not end.
const SHORT: Duration = Duration::from_millis(300);

/// A database under test.
#[async_trait]
pub trait Kit: Send + Sync {
    /// Opens it for statements.
    async fn statements(&self) -> Arc<dyn Statements>;
    /// Runs a statement in a session of the test's own.
    async fn run(&self, sql: &str);
    /// Waits until no statement but the test's own is at work, and none holds a lock; panics when that lasts too long.
    async fn settled(&self);
    /// Waits until a statement is at work that is not the test's own; panics when that lasts too long.
    async fn busy(&self);
    /// A query that does not end for a minute.
    fn endless(&self) -> &'static str;
    /// Expressions, and what each is read as.
    fn samples(&self) -> Vec<(&'static str, Value<'static>)>;
}

/// Every check.
pub async fn all(kit: &dyn Kit) {
    values_of_every_type(kit).await;
    all_or_nothing(kit).await;
    one_transaction(kit).await;
    queries_do_not_write(kit).await;
    values_are_bound(kit).await;
    a_limit_is_an_error(kit).await;
    time_outs_end_the_work(kit).await;
    a_dropped_future_rolls_back(kit).await;
}

/// Values stand for names; they are typed by their places, and a value is never a part of the statement.
async fn values_are_bound(kit: &dyn Kit) {
    kit.run("CREATE TABLE bound_values (n integer, name varchar(40))").await;
    kit.run("INSERT INTO bound_values VALUES (1, 'it''s :me'), (2, 'other'), (3, NULL)").await;
    let on = kit.statements().await;
    let params = Params::from([
        ("who".to_owned(), Value::Text("it's :me".into())),
        ("n".to_owned(), Value::Int64(2)),
        ("none".to_owned(), Value::Null),
    ]);
    let ask = async |sql: &str| on.query_with(sql, &params, 9, AMPLE).await;
    let names =
        ask("SELECT n FROM bound_values WHERE name = :who OR n = :n /* :no */ ORDER BY n -- :no").await;
    assert_eq!(names.expect("rows").rows, [[Value::Int64(1)], [Value::Int64(2)]]);
    let text = ask("SELECT n FROM bound_values WHERE name = ':who'").await;
    assert!(text.expect("no rows").rows.is_empty(), "a text is a text");
    for sql in
        ["SELECT n FROM bound_values WHERE name = :nobody", "SELECT n FROM bound_values WHERE n = :none"]
    {
        let error = ask(sql).await.expect_err("a parameter without a value");
        assert_eq!(error.kind, Kind::Definition, "{error}");
        assert!(!format!("{error} {:?}", error.hint).contains("it's"), "no value is told: {error}");
    }
    // a value that is none of its place's type is the statement's error, and not told
    let of_another_type = Params::from([("n".to_owned(), Value::Text("secret".into()))]);
    let asked = on.query_with("SELECT n FROM bound_values WHERE n = :n", &of_another_type, 9, AMPLE).await;
    match asked {
        Ok(rows) => assert!(rows.rows.is_empty()),
        Err(error) => assert!(!error.message.contains("secret"), "{error}"),
    }
}

async fn count(on: &dyn Statements, table: &str) -> i64 {
    let rows = on.query(&format!("SELECT count(*) FROM {table}"), 1, AMPLE).await;
    match rows.unwrap_or_else(|e| panic!("{e}")).rows[..] {
        [ref row] => match row[..] {
            [Value::Int64(count)] => count,
            ref other => panic!("a count: {other:?}"),
        },
        ref other => panic!("one row: {other:?}"),
    }
}

fn owned(statements: &[&str]) -> Vec<String> {
    statements.iter().map(|s| (*s).to_owned()).collect()
}

async fn values_of_every_type(kit: &dyn Kit) {
    let on = kit.statements().await;
    for (expression, value) in kit.samples() {
        let rows = on.query(&format!("SELECT {expression} AS it, 1 AS it -- twice\n;"), 1, AMPLE).await;
        let rows = rows.unwrap_or_else(|e| panic!("{expression}: {e}"));
        let expected = Rows { columns: owned(&["it", "it"]), rows: vec![vec![value, Value::Int64(1)]] };
        assert_eq!(rows, expected, "{expression}");
    }
    let none = on.query("SELECT 1 AS one, 2 AS two WHERE 1 = 0", 0, AMPLE).await;
    let expected = Rows { columns: owned(&["one", "two"]), rows: Vec::new() };
    assert_eq!(none.expect("no row is within a limit of none"), expected);
}

async fn all_or_nothing(kit: &dyn Kit) {
    kit.run("CREATE TABLE whole (id int PRIMARY KEY, n int)").await;
    let on = kit.statements().await;
    let done = on
        .execute(
            &owned(&[
                "INSERT INTO whole VALUES (1, 10), (2, 20), (3, 30)",
                "UPDATE whole SET n = n + 1 WHERE id > 1 -- two of them",
                "DELETE FROM whole WHERE id = 7",
                "SELECT n FROM whole WHERE id = 0",
                "DELETE FROM whole WHERE id = 1",
            ]),
            AMPLE,
        )
        .await;
    assert_eq!(done.expect("it was done"), [3, 2, 0, 0, 1]);
    assert_eq!(count(&*on, "whole").await, 2);

    let broken = owned(&["DELETE FROM whole", "INSERT INTO whole VALUES (5, 5), (5, 5)"]);
    let error = on.execute(&broken, AMPLE).await.expect_err("a key twice");
    assert!(matches!(error.kind, Kind::Rejected | Kind::Duplicate), "{error}");
    assert!(error.message.starts_with("statement 2 of 2: "), "{error}");
    assert_eq!(count(&*on, "whole").await, 2, "the first statement was undone");
    assert_eq!(on.execute(&[], AMPLE).await.expect("nothing to do"), [] as [u64; 0]);
}

async fn one_transaction(kit: &dyn Kit) {
    let on = kit.statements().await;
    for statements in [&["DELETE FROM whole", "COMMIT"][..], &["DELETE FROM whole; COMMIT"], &[""]] {
        let error = on.execute(&owned(statements), AMPLE).await.expect_err("it ends the transaction");
        assert_eq!(error.kind, Kind::Definition, "{statements:?}: {error}");
        assert!(error.hint.is_some() || statements.len() == 1, "{error}");
    }
    assert_eq!(count(&*on, "whole").await, 2);
}

async fn queries_do_not_write(kit: &dyn Kit) {
    let on = kit.statements().await;
    for statement in ["DELETE FROM whole", "INSERT INTO whole VALUES (9, 9)", "CREATE TABLE made (id int)"] {
        let error = on.query(statement, ROWS_MAX, AMPLE).await.expect_err("a query wrote");
        assert_eq!(error.kind, Kind::Definition, "{statement}: {error}");
    }
    assert_eq!(count(&*on, "whole").await, 2);
    let missing = on.query("SELECT * FROM made", ROWS_MAX, AMPLE).await.expect_err("no table was made");
    assert_eq!(missing.kind, Kind::StreamMissing, "{missing}");
}

async fn a_limit_is_an_error(kit: &dyn Kit) {
    let on = kit.statements().await;
    let two = on.query("SELECT id FROM whole ORDER BY id", 2, AMPLE).await.expect("two rows");
    assert_eq!(two.rows, [[Value::Int64(2)], [Value::Int64(3)]]);
    let error = on.query("SELECT id FROM whole ORDER BY id", 1, AMPLE).await.expect_err("one too many");
    assert_eq!((error.kind, error.message.as_str()), (Kind::Definition, "the query gives more than 1 rows"));
}

async fn time_outs_end_the_work(kit: &dyn Kit) {
    let on = kit.statements().await;
    let error = on.query(kit.endless(), 1, SHORT).await.expect_err("it does not end");
    assert_eq!(
        (error.kind, error.message.as_str()),
        (Kind::Unanswered, "not done within 0.3 s, and stopped")
    );
    kit.settled().await;
    let statements = owned(&["DELETE FROM whole", kit.endless()]);
    let error = on.execute(&statements, SHORT).await.expect_err("it does not end");
    assert_eq!(error.kind, Kind::Unanswered, "{error}");
    kit.settled().await;
    assert_eq!(count(&*on, "whole").await, 2);
}

async fn a_dropped_future_rolls_back(kit: &dyn Kit) {
    let on = kit.statements().await;
    let statements = owned(&["DELETE FROM whole", kit.endless()]);
    {
        let mut work = pin!(on.execute(&statements, Duration::from_secs(3)));
        let mut busy = pin!(kit.busy());
        std::future::poll_fn(|context| {
            assert!(work.as_mut().poll(context).is_pending(), "it does not end");
            busy.as_mut().poll(context)
        })
        .await;
        assert!(matches!(poll!(&mut work), Poll::Pending));
    }
    kit.settled().await;
    assert_eq!(count(&*on, "whole").await, 2);
}
