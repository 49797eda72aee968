//! Changing a table before rows are merged into it: within the load's transaction, or beside loads of other parts.

use std::sync::Arc;

use super::{Hold, Server, load::Loading};
use crate::{
    Error,
    database::{
        Change, How,
        dialect::{Layout, Named},
    },
};

impl<S: Server> Loading<S> {
    /// Changes the table as the shape wants. A staging table that takes its place was made with the changes.
    pub(super) async fn change(&mut self, how: How) -> Result<(), Error> {
        if self.tables.shape.takes_place && how == How::Replace {
            return Ok(());
        }
        let changes = self.tables.shape.changes.iter();
        for sql in changes.filter_map(|c| self.render(c, &self.tables.table)).collect::<Vec<_>>() {
            self.run(&sql).await.map_err(|e| e.context(format_args!("changing {}", self.tables.table)))?;
        }
        Ok(())
    }

    /// Makes the changes that nobody else has made meanwhile, each at once: other parts of the table may be loaded right now, and
    /// the first of them that needs a change makes it for all.
    pub(super) async fn change_beside_others(&mut self) -> Result<(), Error> {
        if self.tables.shape.changes.is_empty() {
            return Ok(());
        }
        let server = Arc::clone(&self.server);
        server.lock(&mut self.link, &self.tables.table, Hold::Change, self.claim.lock_timeout).await?;
        let (_, found) = server.find(&mut self.link, &self.claim.table).await?;
        let field = |name: &str| found.as_ref().and_then(|table| table.stream.field(name));
        let pending = self.tables.shape.changes.iter().filter(|change| match change {
            Change::Create { .. } => found.is_none(),
            Change::Add(column) => field(&column.name).is_none(),
            Change::Widen(column) => {
                field(&column.name).is_none_or(|f| f.native.as_deref() != Some(column.declared.as_str()))
            }
        });
        let statements: Vec<_> = pending.filter_map(|c| self.render(c, &self.tables.table)).collect();
        for sql in &statements {
            self.run(sql).await.map_err(|e| e.context(format_args!("changing {}", self.tables.table)))?;
        }
        self.tables.found = if statements.is_empty() {
            found
        } else {
            server.find(&mut self.link, &self.claim.table).await?.1
        };
        Ok(())
    }

    /// The statement of a change; `None`: the database needs none.
    pub(super) fn render(&self, change: &Change, table: &Named) -> Option<String> {
        let dialect = self.server.dialect();
        let sql = match change {
            Change::Create { key } => {
                dialect.create_table(table, Layout { columns: &self.tables.shape.columns, key })
            }
            Change::Add(column) => dialect.add_column(table, column),
            Change::Widen(column) => dialect.widen_column(table, column),
        };
        (!sql.is_empty()).then_some(sql)
    }
}
