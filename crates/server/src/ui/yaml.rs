//! A definition as it would stand in a project file: what is in force, with defaults left out, and no option of a connection.

use std::fmt::Write as _;

use syncline_core::{
    schedule::{Misfire, Overlap, Schedule},
    sync::{
        As, DeletePolicy, Detect, Direction, KeyColumns, Mode, OnEdit, Origin, SchemaPolicy, Sync,
        TableOptions,
    },
};

/// The sync under its name, as in the section `syncs`.
pub(crate) fn of_sync(sync: &Sync) -> String {
    let mut out = Writer::default();
    out.line(0, &format!("{}:", scalar(&sync.name)));
    ends(&mut out, sync);
    out.pair(1, "mode", if sync.mode == Mode::Full { "full" } else { "incremental" });
    out.pair(1, "write", sync.write.as_str());
    deletes(&mut out, sync);
    if sync.on_edit == OnEdit::Report {
        out.pair(1, "on_edit", "report");
    }
    if let Some(by) = &sync.adopt {
        out.line(1, &format!("adopt: {{ by: {} }}", list(by)));
    }
    fields(&mut out, sync);
    if !sync.routes.is_empty() {
        out.line(1, "route:");
        for route in &sync.routes {
            out.line(
                2,
                &format!("- {{ when: {}, list: {} }}", quoted(route.when.text()), scalar(&route.stream)),
            );
        }
    }
    if !sync.params.is_empty() {
        out.pair(1, "params", &list(&sync.params));
    }
    if let Some(fresh) = sync.fresh {
        out.pair(1, "fresh", &format!("{}s", fresh.as_secs()));
    }
    if let Some(each) = &sync.each {
        out.line(1, "each:");
        out.pair(2, "connection", &scalar(&each.connection));
        out.text(2, "query", &each.query);
        if !each.params.is_empty() {
            out.pair(2, "params", &list(&each.params));
        }
    }
    if !sync.schedules.is_empty() {
        out.line(1, "schedule:");
        for schedule in &sync.schedules {
            out.line(2, &format!("- {{ {} }}", of_schedule(schedule)));
        }
    }
    out.0
}

fn ends(out: &mut Writer, sync: &Sync) {
    let from = &sync.from;
    out.line(1, "from:");
    out.pair(2, "connection", &scalar(&from.connection));
    let is_query = from.stream.contains(char::is_whitespace);
    out.text(2, if is_query { "query" } else { "table" }, &from.stream);
    if let Some(query) = &from.mass_query {
        out.text(2, "mass_query", query);
    }
    match &from.key.columns {
        KeyColumns::PrimaryKey => {}
        KeyColumns::UniqueConstraint(name) => out.line(2, &format!("key: {{ unique: {} }}", scalar(name))),
        KeyColumns::Columns(columns) => out.pair(2, "key", &list(columns)),
        KeyColumns::Hashed(columns) => out.line(2, &format!("key: {{ hashed: {} }}", list(columns))),
    }
    if let Some(cursor) = &from.cursor {
        out.pair(2, "cursor", &scalar(cursor));
    }
    if !from.lag.is_zero() {
        out.pair(2, "lag", &format!("{}s", from.lag.as_secs()));
    }
    match &from.tombstone {
        None => {}
        Some(column) if from.tombstone_values.is_empty() => out.pair(2, "tombstone", &scalar(column)),
        Some(column) => {
            let values = list(&from.tombstone_values);
            out.line(2, &format!("tombstone: {{ column: {}, values: {values} }}", scalar(column)));
        }
    }
    if let Some(filter) = &from.filter {
        out.pair(2, "filter", &quoted(filter.text()));
    }
    out.line(1, "to:");
    out.pair(2, "connection", &scalar(&sync.to.connection));
    out.pair(2, "stream", &scalar(&sync.to.stream));
    table(out, &sync.to.table);
}

/// What is only said of tables.
fn table(out: &mut Writer, table: &TableOptions) {
    if table.schema == SchemaPolicy::Freeze {
        out.pair(2, "schema", "freeze");
    }
    let lists = [("match", &table.match_on), ("update", &table.update), ("insert", &table.insert)];
    for (key, columns) in lists {
        if let Some(columns) = columns {
            out.pair(2, key, &list(columns));
        }
    }
    if let Some(condition) = &table.update_when {
        out.pair(2, "update_when", &quoted(condition));
    }
    if !table.partition.is_empty() {
        let pairs = table.partition.iter();
        let pairs: Vec<String> =
            pairs.map(|(c, param)| format!("{}: {}", scalar(c), scalar(param))).collect();
        out.line(2, &format!("partition: {{ {} }}", pairs.join(", ")));
    }
    if !table.after.is_empty() {
        out.line(2, "after:");
        for statement in &table.after {
            out.line(3, &format!("- {}", quoted(statement)));
        }
    }
    if let Some(parallel) = table.parallel {
        out.pair(2, "parallel", &parallel.to_string());
    }
}

fn deletes(out: &mut Writer, sync: &Sync) {
    let deletes = &sync.deletes;
    let policy = match &deletes.policy {
        DeletePolicy::Ignore => "ignore".to_owned(),
        DeletePolicy::Delete => "delete".to_owned(),
        DeletePolicy::Soft { field } => format!("soft, field: {}", scalar(field)),
    };
    let mut line = format!(
        "policy: {policy}, guard: {{ count: {}, percent: {} }}",
        deletes.guard_count, deletes.guard_percent
    );
    if deletes.out_of_filter {
        line.push_str(", out_of_filter: true");
    }
    if deletes.detect == Detect::Keys {
        line.push_str(", detect: keys");
    }
    out.line(1, &format!("deletes: {{ {line} }}"));
}

fn fields(out: &mut Writer, sync: &Sync) {
    if sync.fields.is_empty() {
        return;
    }
    out.line(1, "fields:");
    for field in &sync.fields {
        let from = match &field.from {
            Origin::Column(column) => format!("from: {}", scalar(column)),
            Origin::Expression(expression) => format!("cel: {}", quoted(expression.text())),
            Origin::Sql(sql) => format!("sql: {}", quoted(sql)),
            Origin::Param(name) => format!("param: {}", scalar(name)),
        };
        let mut line = from;
        match field.direction {
            Direction::Push => {}
            Direction::Both => line.push_str(", direction: both"),
            Direction::Pull => line.push_str(", direction: pull"),
        }
        if field.kind == Some(As::Hyperlink) {
            line.push_str(", as: hyperlink");
        }
        if field.required {
            line.push_str(", required: true");
        }
        if let Some(default) = &field.default {
            // writing into a text cannot fail
            write!(line, ", default: {default}").ok();
        }
        out.line(2, &format!("{}: {{ {line} }}", scalar(&field.to)));
    }
}

fn of_schedule(schedule: &Schedule) -> String {
    let mut parts = Vec::new();
    if let Some(name) = &schedule.name {
        parts.push(format!("name: {}", scalar(name)));
    }
    if let Some(every) = schedule.every {
        parts.push(format!("every: {}s", every.as_secs()));
    }
    if let Some(cron) = &schedule.cron {
        parts.push(format!("cron: {}", quoted(cron)));
    }
    if let Some(zone) = &schedule.zone {
        parts.push(format!("zone: {}", scalar(zone)));
    }
    if let Some(mode) = schedule.mode {
        parts.push(format!("mode: {}", if mode == Mode::Full { "full" } else { "incremental" }));
    }
    match schedule.misfire {
        Misfire::Latest => {}
        Misfire::Skip => parts.push("misfire: skip".to_owned()),
        Misfire::All(n) => parts.push(format!("misfire: {{ all: {n} }}")),
    }
    if schedule.overlap == Overlap::Queue {
        parts.push("overlap: queue".to_owned());
    }
    if !schedule.enabled {
        parts.push("enabled: false".to_owned());
    }
    parts.join(", ")
}

/// Lines, each indented by its depth.
#[derive(Default)]
struct Writer(String);

impl Writer {
    fn line(&mut self, depth: usize, text: &str) {
        writeln!(self.0, "{:1$}{text}", "", depth * 2).ok();
    }

    fn pair(&mut self, depth: usize, key: &str, value: &str) {
        self.line(depth, &format!("{key}: {value}"));
    }

    /// A value of several lines as a block.
    fn text(&mut self, depth: usize, key: &str, value: &str) {
        if !value.trim_end().contains('\n') {
            return self.pair(depth, key, &scalar(value));
        }
        self.line(depth, &format!("{key}: |"));
        for line in value.trim_end().lines() {
            self.line(depth + 1, line);
        }
    }
}

fn list(values: &[String]) -> String {
    format!("[{}]", values.iter().map(|value| scalar(value)).collect::<Vec<_>>().join(", "))
}

/// A name as it is where YAML reads it as one, else in quotes.
fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ' ');
    let first = text.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_');
    let word = matches!(
        text.to_ascii_lowercase().as_str(),
        "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n"
    );
    if first && !word && text.chars().all(plain) && text.trim() == text {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// JSON's quotes are YAML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_quoted_where_yaml_would_read_something_else() {
        let shown = ["projects", "Active Projects", "public.a", "true", "12", "a: b", "", "#x", "a\"b", "-x"]
            .map(scalar);
        assert_eq!(
            shown,
            [
                "projects",
                "Active Projects",
                "public.a",
                "\"true\"",
                "\"12\"",
                "\"a: b\"",
                "\"\"",
                "\"#x\"",
                "\"a\\\"b\"",
                "\"-x\""
            ]
        );
    }
}
