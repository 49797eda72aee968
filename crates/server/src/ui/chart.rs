//! Small charts as inline SVG: drawn on the server, coloured by the stylesheet, with a text that says what is seen.

use std::fmt::Write as _;

use super::show::{count, some};

/// An SVG of ours. The only text that templates take as it is: everything in it that is not drawn here was escaped here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Svg(pub(crate) String);

/// One run in a sparkline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Bar {
    /// Records created, updated, moved or deleted.
    pub(crate) written: u64,
    /// Records that were equal already, or not wanted.
    pub(crate) quiet: u64,
    /// Records parked, held or in conflict.
    pub(crate) waiting: u64,
    /// Whether the run failed.
    pub(crate) failed: bool,
}

impl Bar {
    fn total(self) -> u64 {
        self.written + self.quiet + self.waiting
    }
}

/// Bars of a sparkline.
pub(crate) const BARS: usize = 30;
const STEP: u32 = 5;
const HEIGHT: u32 = 28;

/// The last runs, the oldest first: a bar each, its records by outcome, and a mark under those that failed.
///
/// Heights grow with the square root, so that a run of ten records is seen beside one of a million.
pub(crate) fn sparkline(bars: &[Bar]) -> Svg {
    let highest = bars.iter().map(|bar| bar.total()).max().unwrap_or(0).max(1) as f64;
    let full = f64::from(HEIGHT - 5);
    // one path per colour: a page holds fifty of these
    let mut paths: [(&str, String); 4] = [
        ("unchanged", String::new()),
        ("updated", String::new()),
        ("parked", String::new()),
        ("failed", String::new()),
    ];
    for (index, bar) in (0u32..).zip(bars) {
        let x = index * STEP;
        let mut y = HEIGHT - 4;
        let height = (bar.total() as f64 / highest).sqrt() * full;
        let share = |n: u64| {
            if n == 0 { 0 } else { (n as f64 / bar.total() as f64 * height).round().max(1.0) as u32 }
        };
        for (path, n) in [(0, bar.quiet), (1, bar.written), (2, bar.waiting)] {
            let part = share(n).min(y);
            if part > 0 {
                y -= part;
                rectangle(&mut paths[path].1, x, y, part);
            }
        }
        if bar.failed {
            rectangle(&mut paths[3].1, x, HEIGHT - 3, 3);
        }
    }
    let width = BARS as u32 * STEP;
    let text = in_words(bars);
    let mut svg = format!(
        r#"<svg class="sparkline" viewBox="0 0 {width} {HEIGHT}" width="{width}" height="{HEIGHT}" role="img"><title>{text}</title>"#
    );
    for (class, path) in paths.iter().filter(|(_, path)| !path.is_empty()) {
        // writing into a text cannot fail
        write!(svg, r#"<path class="{class}" d="{path}"/>"#).ok();
    }
    svg.push_str("</svg>");
    Svg(svg)
}

fn rectangle(path: &mut String, x: u32, y: u32, height: u32) {
    write!(path, "M{x} {y}h4v{height}h-4z").ok();
}

fn in_words(bars: &[Bar]) -> String {
    let failed = bars.iter().filter(|bar| bar.failed).count() as u64;
    let sum = |of: fn(&Bar) -> u64| bars.iter().map(of).sum::<u64>();
    let waiting = sum(|bar| bar.waiting);
    let mut text = format!(
        "{}: {} written",
        some(bars.len() as u64, "run", "last runs"),
        some(sum(|bar| bar.written), "record", "records")
    );
    if waiting > 0 {
        write!(text, ", {} parked, held or in conflict", count(waiting)).ok();
    }
    if failed > 0 {
        write!(text, ", {} failed", count(failed)).ok();
    }
    text
}

/// A column of a chart.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Column {
    /// What it is, for who points at it: `run 12, 2026-08-22 14:05`.
    pub(crate) label: String,
    pub(crate) value: f64,
    /// Value as it is written.
    pub(crate) text: String,
    /// Whether what it stands for failed.
    pub(crate) failed: bool,
}

/// Columns side by side, the oldest first, with the highest value at the axis.
pub(crate) fn columns(title: &str, columns: &[Column]) -> Svg {
    const WIDTH: f64 = 640.0;
    const HEIGHT: f64 = 130.0;
    const TOP: f64 = 20.0;
    const FOOT: f64 = 110.0;
    let highest = columns.iter().max_by(|a, b| a.value.total_cmp(&b.value));
    let top = highest.map_or(1.0, |column| column.value).max(f64::MIN_POSITIVE);
    let step = WIDTH / columns.len().clamp(BARS, 1000) as f64;
    let said = match (columns.last(), highest) {
        (Some(last), Some(highest)) => format!("{title}: last {}, highest {}", last.text, highest.text),
        _ => format!("{title}: nothing yet"),
    };
    let mut svg = format!(
        r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img"><title>{}</title>"#,
        escape(&said)
    );
    write!(svg, r#"<line class="axis" x1="0" x2="{WIDTH}" y1="{FOOT}" y2="{FOOT}"/>"#).ok();
    for (index, column) in columns.iter().enumerate() {
        let height = (column.value.max(0.0) / top * (FOOT - TOP)).max(1.0);
        let (x, y) = (index as f64 * step, FOOT - height);
        let class = if column.failed { "failed" } else { "bar" };
        let text = escape(&format!("{}: {}", column.label, column.text));
        write!(
            svg,
            r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{:.1}" height="{height:.1}"><title>{text}</title></rect>"#,
            (step - 2.0).max(1.0)
        )
        .ok();
    }
    if let Some(highest) = highest {
        write!(svg, r#"<text class="quiet" x="0" y="13">highest {}</text>"#, escape(&highest.text)).ok();
    }
    if let Some(last) = columns.last() {
        write!(svg, r#"<text x="0" y="126">last {}</text>"#, escape(&last.text)).ok();
    }
    svg.push_str("</svg>");
    Svg(svg)
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparkline_says_and_draws_its_runs() {
        let bars = [
            Bar { written: 100, ..Bar::default() },
            Bar { quiet: 24, waiting: 1, failed: true, ..Bar::default() },
        ];
        let Svg(svg) = sparkline(&bars);
        assert_eq!(
            svg,
            "<svg class=\"sparkline\" viewBox=\"0 0 150 28\" width=\"150\" height=\"28\" role=\"img\">\
             <title>2 last runs: 100 records written, 1 parked, held or in conflict, 1 failed</title>\
             <path class=\"unchanged\" d=\"M5 13h4v11h-4z\"/><path class=\"updated\" d=\"M0 1h4v23h-4z\"/>\
             <path class=\"parked\" d=\"M5 12h4v1h-4z\"/><path class=\"failed\" d=\"M5 25h4v3h-4z\"/></svg>"
        );
    }

    #[test]
    fn a_full_sparkline_is_small() {
        let bars = [Bar { written: 3, quiet: 5, waiting: 1, failed: true }; BARS];
        assert!(sparkline(&bars).0.len() < 2600, "{}", sparkline(&bars).0.len());
    }

    #[test]
    fn charts_escape_what_they_are_given() {
        let column = Column { label: "<b>\"&".into(), value: f64::NAN, text: "<i>".into(), failed: false };
        let Svg(svg) = columns("a<b", &[column]);
        assert!(!svg.contains("<b>") && !svg.contains("<i>") && svg.contains("a&lt;b"), "{svg}");
        assert!(columns("Duration", &[]).0.contains("Duration: nothing yet"));
    }
}
