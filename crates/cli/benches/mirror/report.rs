//! What was measured, as a table on the screen, as JSON, and as a table and a chart for the documents. Pure functions.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::{
    bench::{Case, Goal},
    measure::{Cost, median},
    settings::Settings,
};

const BEGIN: &str = "<!-- bench-mirror: begin; written by `make bench-mirror` -->";
const END: &str = "<!-- bench-mirror: end -->";

impl Case {
    /// The median of the paired ratios.
    fn ratio(&self) -> Option<f64> {
        median(self.ours.iter().zip(&self.limit).map(|(ours, limit)| ours.seconds / limit.seconds))
    }

    /// The median of one side of what was measured.
    fn typical(costs: &[Cost], what: impl Fn(&Cost) -> f64) -> Option<f64> {
        median(costs.iter().map(what))
    }

    fn peak(&self) -> Option<f64> {
        self.ours.iter().map(|cost| cost.peak_mb).max_by(f64::total_cmp)
    }

    /// What is to be reached in words, and whether it is; nothing when only the limits are known.
    fn verdict(&self) -> (String, Option<bool>) {
        match self.goal {
            Goal::Ratio(most) => (format!("<= {most:.2}"), self.ratio().map(|ratio| ratio <= most)),
            Goal::Seconds(most) => {
                let seconds = Self::typical(&self.ours, |cost| cost.seconds);
                (format!("< {most:.1} s"), seconds.map(|seconds| seconds < most))
            }
            Goal::Peak(most) => (format!("<= {most:.0} MB"), self.peak().map(|peak| peak <= most)),
            Goal::None => (String::new(), None),
        }
    }

    /// Case, ours, its processor time, its peak, limit, ratio, what to reach.
    fn row(&self) -> [String; 7] {
        let (wanted, reached) = self.verdict();
        [
            self.name.clone(),
            figure(Self::typical(&self.ours, |cost| cost.seconds), 3),
            figure(Self::typical(&self.ours, |cost| cost.cpu), 2),
            figure(self.peak(), 0),
            figure(Self::typical(&self.limit, |cost| cost.seconds), 3),
            figure(self.ratio(), 2),
            if reached == Some(false) { format!("{wanted} (not reached)") } else { wanted },
        ]
    }
}

fn figure(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

/// The most memory that any case of ours had resident, in MB.
fn peak(cases: &[Case]) -> Option<f64> {
    cases.iter().filter(|case| case.is_ours).filter_map(Case::peak).max_by(f64::total_cmp)
}

/// The table for the screen.
pub(crate) fn screen(cases: &[Case]) -> String {
    let mut text = format!(
        "\n{:<42}{:>10}{:>9}{:>9}{:>10}{:>8}  to reach\n",
        "case", "ours s", "cpu s", "peak MB", "limit s", "ratio"
    );
    for case in cases {
        let [name, ours, cpu, peak, limit, ratio, goal] = case.row();
        writeln!(text, "{name:<42}{ours:>10}{cpu:>9}{peak:>9}{limit:>10}{ratio:>8}  {goal}").unwrap();
        if !case.beside.is_empty() {
            writeln!(text, "    beside: {}", case.beside).unwrap();
        }
    }
    if let Some(peak) = peak(cases) {
        writeln!(text, "most memory in any case: {peak:.0} MB (to reach: <= 120 MB)").unwrap();
    }
    text
}

/// The JSON file: one figure for each case, and below `cases` everything they were made from.
pub(crate) fn figures(cases: &[Case], settings: &Settings, server: &[(String, String)]) -> Value {
    let mut figures = Map::new();
    let mut details = Map::new();
    for case in cases {
        match case.goal {
            Goal::Seconds(_) => {
                if let Some(seconds) = Case::typical(&case.ours, |cost| cost.seconds) {
                    figures.insert("nochange_s".into(), json!(round(seconds, 4)));
                }
            }
            Goal::Peak(_) => {
                if let Some(peak) = case.peak() {
                    figures.insert(format!("{}_rss_mb", case.key), json!(round(peak, 1)));
                }
            }
            Goal::Ratio(_) | Goal::None => {}
        }
        if let Some(ratio) = case.ratio() {
            figures.insert(case.key.clone(), json!(round(ratio, 3)));
        }
        let seconds = |costs: &[Cost]| costs.iter().map(|cost| round(cost.seconds, 4)).collect::<Vec<_>>();
        let detail = json!({
            "name": case.name,
            "beside": case.beside,
            "ours_s": seconds(&case.ours),
            "limit_s": seconds(&case.limit),
            "ours_cpu_s": Case::typical(&case.ours, |cost| cost.cpu),
            "limit_cpu_s": Case::typical(&case.limit, |cost| cost.cpu),
            "ours_peak_rss_mb": case.peak().map(|peak| round(peak, 1)),
        });
        details.insert(case.key.clone(), detail);
    }
    if let Some(peak) = peak(cases) {
        figures.insert("peak_rss_mb".into(), json!(round(peak, 1)));
    }
    figures.insert("rows".into(), json!(settings.rows));
    figures.insert("repeats".into(), json!(settings.repeat));
    figures.insert("cores".into(), json!(cores()));
    figures
        .insert("server".into(), server.iter().map(|(name, value)| (name.clone(), json!(value))).collect());
    figures.insert("cases".into(), details.into());
    figures.into()
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The table for the documents, with where it was measured, and the chart if there is one.
pub(crate) fn markdown(cases: &[Case], settings: &Settings, server: &[(String, String)]) -> String {
    let mut text = String::new();
    if chart(cases).is_some() {
        text.push_str("![Time of each case as a multiple of the raw limit](benchmarks-mirror.svg)\n\n");
    }
    text.push_str("| case | time, s | CPU, s | peak, MB | limit, s | ratio | to reach | the limit |\n");
    text.push_str("| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |\n");
    for case in cases {
        writeln!(text, "| {} | {} |", case.row().join(" | "), case.beside).unwrap();
    }
    let server: Vec<_> = server.iter().map(|(name, value)| format!("`{name}={value}`")).collect();
    writeln!(
        text,
        "\n{} rows, {} pairs in each case, {} processors. The server: {}.",
        settings.rows,
        settings.repeat,
        cores(),
        server.join(", ")
    )
    .unwrap();
    text
}

/// Puts `text` between the page's marks.
///
/// # Panics
///
/// When the page has lost them.
pub(crate) fn in_page(page: &str, text: &str) -> String {
    let (before, rest) = page.split_once(BEGIN).expect("the mark where the figures begin");
    let (_, after) = rest.split_once(END).expect("the mark where the figures end");
    format!("{before}{BEGIN}\n\n{text}\n{END}{after}")
}

const LABELS: f64 = 250.0;
const BARS: f64 = 430.0;
const BAR: f64 = 26.0;
/// Longer bars are cut off, or the others could not be told apart.
const RATIO_MAX: f64 = 6.0;

/// The ratios as bars beside a line at 1, the raw limit. None when nothing of ours was measured.
pub(crate) fn chart(cases: &[Case]) -> Option<String> {
    let is_raw = |case: &&Case| !case.key.starts_with("deletes") && !case.key.ends_with("_bare");
    let ratios: Vec<(&str, bool, f64)> = cases
        .iter()
        .filter(is_raw)
        .filter_map(|case| Some((case.name.as_str(), case.is_ours, case.ratio()?)))
        .collect();
    let most = ratios.iter().map(|(.., ratio)| *ratio).max_by(f64::total_cmp)?.clamp(1.5, RATIO_MAX);
    let scale = BARS / most;
    let height = BAR * ratios.len() as f64 + 44.0;
    let (width, line) = (LABELS + BARS + 60.0, LABELS + scale);
    let mut bars = String::new();
    for (row, (name, is_ours, ratio)) in ratios.iter().enumerate() {
        let top = 30.0 + BAR * row as f64;
        let (middle, length) = (top + 13.0, ratio.min(most) * scale);
        let class = if *is_ours { "ours" } else { "peer" };
        let cut = if *ratio > most { "… " } else { "" };
        writeln!(
            bars,
            r#"  <text class="label" x="{:.0}" y="{middle:.0}">{name}</text>
  <rect class="{class}" x="{LABELS:.0}" y="{:.0}" width="{length:.1}" height="{:.0}" rx="2"/>
  <text x="{:.1}" y="{middle:.0}">{cut}{ratio:.2}</text>"#,
            LABELS - 10.0,
            top + 4.0,
            BAR - 8.0,
            LABELS + length + 6.0,
        )
        .unwrap();
    }
    Some(format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {height:.0}" width="{width:.0}" height="{height:.0}" role="img" aria-label="Time of each case as a multiple of the raw limit">
  <style>
    text {{ font: 13px system-ui, sans-serif; fill: #424a53; dominant-baseline: central; }}
    .label {{ text-anchor: end; }}
    .head {{ text-anchor: middle; }}
    .ours {{ fill: #0969da; }}
    .peer {{ fill: #8c959f; }}
    .limit {{ stroke: #cf222e; stroke-width: 1.5; stroke-dasharray: 4 3; }}
    @media (prefers-color-scheme: dark) {{
      text {{ fill: #c9d1d9; }}
      .ours {{ fill: #4493f8; }}
      .peer {{ fill: #6e7681; }}
      .limit {{ stroke: #f85149; }}
    }}
  </style>
{bars}  <text class="head" x="{line:.1}" y="12">1.0 = the raw limit</text>
  <line class="limit" x1="{line:.1}" y1="22" x2="{line:.1}" y2="{:.0}"/>
</svg>
"#,
        height - 8.0
    ))
}
