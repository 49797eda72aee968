//! Conditions that may be absent. Each is in the text only when it is asked for, so that the planner can use its index.

use tokio_postgres::types::ToSql;

use super::{codec, connection::Work, fault::Fault};

/// A `WHERE` and its values; the tenant is the first of them.
pub(super) struct Filter {
    text: String,
    values: Vec<Box<dyn ToSql + Sync + Send>>,
}

impl Filter {
    /// What belongs to the tenant; `column` is the table's.
    pub(super) fn of(work: &Work<'_>, column: &str) -> Self {
        Self { text: format!("WHERE {column} = $1"), values: vec![Box::new(work.tenant)] }
    }

    /// Adds a condition with one `$$`, if there is a value for it.
    pub(super) fn and(mut self, condition: &str, value: Option<impl ToSql + Sync + Send + 'static>) -> Self {
        if let Some(value) = value {
            self.values.push(Box::new(value));
            self.text.push_str(" AND ");
            self.text.push_str(&condition.replace("$$", &format!("${}", self.values.len())));
        }
        self
    }

    /// Rows of `select` under the conditions, at most so many.
    pub(super) async fn rows(
        self,
        work: &Work<'_>,
        select: &str,
        order: &str,
        limit: usize,
    ) -> Result<Vec<tokio_postgres::Row>, Fault> {
        let mut values = self.values;
        values.push(Box::new(codec::limit(limit)));
        let sql = format!("{select} {} ORDER BY {order} LIMIT ${}", self.text, values.len());
        let params: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| &**value as _).collect();
        work.rows(&sql, &params).await
    }
}

/// A number to compare ids with; above 2^63 there are none.
pub(super) fn number(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}
