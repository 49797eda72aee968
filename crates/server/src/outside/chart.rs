//! Charts as inline SVG: drawn by us, without scripts, styles or outside files. Every number stands in it as text, so that it
//! reads without colours, and in its description, for those who hear it.

use std::{cmp::Ordering, fmt::Write as _};

use super::figures::{self, Figure};

/// Most bars of a chart.
pub(super) const BARS_MAX: usize = 50;
/// Most points of a line.
pub(super) const POINTS_MAX: usize = 400;
/// Entries named in the description of a chart.
const DESCRIBED_MAX: usize = 12;

const WIDTH: f64 = 640.0;
const INK: &str = "#1b2733";
const FILL: &str = "#2f6690";
const GRID: &str = "#c9d1d9";

/// What is drawn: a label and a figure per entry.
pub(super) struct Entry {
    pub(super) label: String,
    pub(super) figure: Figure,
}

/// A horizontal bar for each entry, from zero, with its label before and its figure behind it.
pub(super) fn bars(title: &str, unit: &str, entries: &[Entry]) -> String {
    const TOP: f64 = 34.0;
    const ROW: f64 = 26.0;
    const LABELS: f64 = 190.0;
    const FIGURES: f64 = 90.0;
    let low = entries.iter().map(|e| e.figure.size()).fold(0.0, f64::min);
    let high = entries.iter().map(|e| e.figure.size()).fold(0.0, f64::max);
    let span = if high > low { high - low } else { 1.0 };
    let at = |size: f64| LABELS + (size - low) / span * (WIDTH - LABELS - FIGURES);
    let height = TOP + ROW * entries.len().max(1) as f64 + 8.0;
    let mut svg = open(title, "Bar chart", unit, entries, height);
    for (row, entry) in entries.iter().enumerate() {
        let (zero, end) = (at(0.0), at(entry.figure.size()));
        let (left, width) = (zero.min(end), (end - zero).abs().max(1.0));
        let y = TOP + ROW * row as f64;
        let (label, figure) = (shortened(&entry.label, 26), shown(&entry.figure, unit));
        text(&mut svg, LABELS - 8.0, y + 15.0, "end", &label);
        rectangle(&mut svg, left, y + 3.0, width, ROW - 9.0);
        text(&mut svg, left + width + 6.0, y + 15.0, "start", &figure);
    }
    let bottom = height - 6.0;
    line(&mut svg, (at(0.0), TOP - 2.0), (at(0.0), bottom), INK);
    close(svg)
}

/// A line through the entries, in their order, with a mark at each and figures at the first, the last, the lowest and the
/// highest one.
pub(super) fn lines(title: &str, unit: &str, entries: &[Entry]) -> String {
    const HEIGHT: f64 = 260.0;
    const LEFT: f64 = 70.0;
    const RIGHT: f64 = 40.0;
    const TOP: f64 = 48.0;
    const BOTTOM: f64 = 36.0;
    let low = entries.iter().map(|e| e.figure.size()).fold(0.0, f64::min);
    let high = entries.iter().map(|e| e.figure.size()).fold(0.0, f64::max);
    let step = step((high - low) / 4.0);
    let (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
    let (low, high) = if high > low { (low, high) } else { (low, low + step) };
    let y = |size: f64| TOP + (high - size) / (high - low) * (HEIGHT - TOP - BOTTOM);
    let gaps = entries.len().saturating_sub(1).max(1) as f64;
    let x = |index: usize| LEFT + index as f64 / gaps * (WIDTH - LEFT - RIGHT);

    let mut svg = open(title, "Line chart", unit, entries, HEIGHT);
    let rules = ((high - low) / step).round() as usize;
    for rule in 0..=rules.min(10) {
        let size = low + step * rule as f64;
        line(&mut svg, (LEFT, y(size)), (WIDTH - RIGHT, y(size)), GRID);
        text(&mut svg, LEFT - 8.0, y(size) + 4.0, "end", &figures::plain(size));
    }
    let points: Vec<String> =
        entries.iter().enumerate().map(|(i, e)| format!("{:.1},{:.1}", x(i), y(e.figure.size()))).collect();
    push(
        &mut svg,
        format_args!(
            r#"<polyline points="{}" fill="none" stroke="{FILL}" stroke-width="2"/>"#,
            points.join(" ")
        ),
    );
    let named = named(entries);
    for (index, entry) in entries.iter().enumerate() {
        let (x, y) = (x(index), y(entry.figure.size()));
        if entries.len() <= 40 || named.contains(&index) {
            push(&mut svg, format_args!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="3" fill="{FILL}"/>"#));
        }
        if named.contains(&index) {
            // the line comes from above to the lowest point
            let below = Some(index) == lowest(entries) && index != 0 && index + 1 < entries.len();
            let y = if below { y + 18.0 } else { y - 8.0 };
            text(&mut svg, x, y, anchor(index, entries.len()), &shown(&entry.figure, unit));
        }
    }
    for index in ends(entries.len()) {
        text(
            &mut svg,
            x(index),
            HEIGHT - 12.0,
            anchor(index, entries.len()),
            &shortened(&entries[index].label, 22),
        );
    }
    close(svg)
}

/// Where figures are written: at the ends, the lowest and the highest.
fn named(entries: &[Entry]) -> Vec<usize> {
    let highest = (0..entries.len()).max_by(|a, b| by_size(entries, *a, *b));
    let ends = [0, entries.len().saturating_sub(1)].into_iter().filter(|i| *i < entries.len());
    ends.chain(lowest(entries)).chain(highest).collect()
}

fn lowest(entries: &[Entry]) -> Option<usize> {
    (0..entries.len()).min_by(|a, b| by_size(entries, *a, *b))
}

fn by_size(entries: &[Entry], a: usize, b: usize) -> Ordering {
    entries[a].figure.size().total_cmp(&entries[b].figure.size())
}

/// How a text at a point is set: within the drawing, at its ends too.
fn anchor(index: usize, of: usize) -> &'static str {
    match index {
        0 if of > 1 => "start",
        _ if of > 1 && index + 1 == of => "end",
        _ => "middle",
    }
}

/// The first, the middle and the last place.
fn ends(count: usize) -> Vec<usize> {
    let mut places = match count {
        0 => Vec::new(),
        1..5 => vec![0, count - 1],
        _ => vec![0, count / 2, count - 1],
    };
    places.dedup();
    places
}

/// A round number at least as large: 1, 2 or 5 with zeros.
fn step(least: f64) -> f64 {
    if least.is_nan() || least <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(least.log10().floor());
    let rounded = [1.0, 2.0, 5.0, 10.0].into_iter().find(|f| f * power >= least * 0.999_999);
    rounded.unwrap_or(10.0) * power
}

fn open(title: &str, kind: &str, unit: &str, entries: &[Entry], height: f64) -> String {
    let mut described: Vec<String> = entries
        .iter()
        .take(DESCRIBED_MAX)
        .map(|e| format!("{} {}", e.label, shown(&e.figure, unit)))
        .collect();
    if entries.len() > DESCRIBED_MAX {
        described.push(format!("and {} more", entries.len() - DESCRIBED_MAX));
    }
    let described = if entries.is_empty() { "no data".to_owned() } else { described.join("; ") };
    let (title, described) = (escaped(title), escaped(&format!("{kind}: {described}.")));
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{title}" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="13"><title>{title}</title><desc>{described}</desc>"#
    );
    push(&mut svg, format_args!(r##"<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>"##));
    push(
        &mut svg,
        format_args!(r#"<text x="8" y="20" font-size="15" font-weight="bold" fill="{INK}">{title}</text>"#),
    );
    if entries.is_empty() {
        text(&mut svg, WIDTH / 2.0, 50.0, "middle", "no data");
    }
    svg
}

fn close(mut svg: String) -> String {
    svg.push_str("</svg>");
    svg
}

fn shown(figure: &Figure, unit: &str) -> String {
    let figure = figure.grouped();
    if unit.is_empty() { figure } else { format!("{figure} {unit}") }
}

fn shortened(label: &str, most: usize) -> String {
    if label.chars().count() <= most {
        return label.to_owned();
    }
    label.chars().take(most - 1).chain(['…']).collect()
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, content: &str) {
    let content = escaped(content);
    push(
        svg,
        format_args!(r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" fill="{INK}">{content}</text>"#),
    );
}

fn rectangle(svg: &mut String, x: f64, y: f64, width: f64, height: f64) {
    let place = format!(r#"x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}""#);
    push(svg, format_args!(r#"<rect {place} fill="{FILL}" stroke="{INK}" stroke-width="0.5"/>"#));
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str) {
    let ends = format!(r#"x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}""#, from.0, from.1, to.0, to.1);
    push(svg, format_args!(r#"<line {ends} stroke="{colour}"/>"#));
}

fn push(svg: &mut String, what: std::fmt::Arguments<'_>) {
    // a String takes everything
    if svg.write_fmt(what).is_err() {
        svg.push_str("<!-- cut -->");
    }
}

/// Text that stands in XML, in an attribute or between tags. What XML cannot hold at all becomes a space.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(of: &[(&str, &str)]) -> Vec<Entry> {
        of.iter()
            .map(|(label, figure)| Entry {
                label: (*label).to_owned(),
                figure: Figure::of_text(figure).expect("a number"),
            })
            .collect()
    }

    #[test]
    fn bars_are_drawn() {
        let svg = bars(
            "Certificates <by> tier",
            "",
            &entries(&[("Gold & more", "1250"), ("Silver", "310.50"), ("None", "0"), ("Lost", "-40")]),
        );
        insta::assert_snapshot!("bar_chart", svg.replace("><", ">\n<"));
    }

    #[test]
    fn a_line_is_drawn() {
        let weeks = [("W1", "12"), ("W2", "19"), ("W3", "7"), ("W4", "31"), ("W5", "28"), ("W6", "30")];
        insta::assert_snapshot!(
            "line_chart",
            lines("Enrolments", "users", &entries(&weeks)).replace("><", ">\n<")
        );
    }

    #[test]
    fn charts_of_nothing_one_and_equal_figures_hold_no_odd_numbers() {
        for of in [&[][..], &[("one", "5")], &[("a", "0"), ("b", "0")], &[("a", "-3"), ("b", "-3")]] {
            for svg in [bars("t", "", &entries(of)), lines("t", "", &entries(of))] {
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
                assert!(svg.ends_with("</svg>") && svg.contains("<desc>"), "{svg}");
            }
        }
    }

    #[test]
    fn labels_cannot_leave_their_place() {
        let svg = bars("\"><script>", "", &entries(&[("</text><script>alert(1)</script>\u{0}", "1")]));
        assert!(!svg.contains("<script"), "{svg}");
        assert!(!svg.contains('\u{0}'));
    }

    #[test]
    fn rules_stand_at_round_numbers() {
        for (least, expected) in
            [(0.0, 1.0), (3.0, 5.0), (7.75, 10.0), (0.011, 0.02), (20.0, 20.0), (1e9, 1e9)]
        {
            assert!((step(least) / expected - 1.0).abs() < 1e-9, "{least}: {}", step(least));
        }
    }
}
