//! Tables: two spaces between columns, numbers to the right, no lines.

use comfy_table::{CellAlignment, Table as Comfy, presets};

/// A table under construction.
pub(crate) struct Table {
    table: Comfy,
}

/// Which way a column is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Set {
    Left,
    Right,
}

impl Table {
    /// A table with these columns.
    pub(crate) fn new(columns: &[(&str, Set)]) -> Self {
        let mut table = Comfy::new();
        table.load_style(presets::NOTHING);
        table.set_header(columns.iter().map(|(name, _)| *name));
        for (index, (_, set)) in columns.iter().enumerate() {
            if let Some(column) = table.column_mut(index) {
                column.set_padding((0, 2));
                if *set == Set::Right {
                    column.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        Self { table }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.table.add_row(cells);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.table.row_count() == 0
    }

    /// The lines, without trailing blanks.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        self.table.lines().map(|line| line.trim_end().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&[("name", Set::Left), ("n", Set::Right)]);
        table.row(vec!["a".into(), "1,000".into()]);
        table.row(vec!["long name".into(), "7".into()]);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines, ["name           n", "a          1,000", "long name      7"]);
    }
}
