//! The Prometheus text format.

use std::fmt::Write;

/// Media type of the format.
pub(crate) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a number means for whoever scrapes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only rises, and begins anew with the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts of what was not above each bound.
    Histogram,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Label names and values, in order.
pub(crate) type Labels<'a> = &'a [(&'a str, &'a str)];

/// A text under construction.
#[derive(Debug, Default)]
pub(crate) struct Page(String);

impl Page {
    /// Begins a family; its samples follow.
    pub(crate) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {}", kind.as_str()));
    }

    /// One sample.
    pub(crate) fn sample(&mut self, name: &str, labels: Labels<'_>, value: f64) {
        let labels = rendered(labels);
        self.line(format_args!("{name}{labels} {value}"));
    }

    /// The samples of a histogram.
    pub(crate) fn histogram(&mut self, name: &str, labels: Labels<'_>, histogram: &Histogram) {
        let mut below = 0;
        for (bound, count) in histogram.bounds.iter().zip(&histogram.counts) {
            below += count;
            let bound = bound.to_string();
            let with = [labels, &[("le", bound.as_str())]].concat();
            self.sample(&format!("{name}_bucket"), &with, below as f64);
        }
        let with = [labels, &[("le", "+Inf")]].concat();
        self.sample(&format!("{name}_bucket"), &with, histogram.count as f64);
        self.sample(&format!("{name}_sum"), labels, histogram.sum);
        self.sample(&format!("{name}_count"), labels, histogram.count as f64);
    }

    /// The text.
    pub(crate) fn finish(self) -> String {
        self.0
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        // writing to a text cannot fail
        writeln!(self.0, "{text}").ok();
    }
}

fn rendered(labels: Labels<'_>) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let pairs: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    format!("{{{}}}", pairs.join(","))
}

/// How often something was not above each bound.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    bounds: &'static [f64],
    counts: Vec<u64>,
    count: u64,
    sum: f64,
}

impl Histogram {
    /// Empty; `bounds` rise.
    pub(crate) fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len()], count: 0, sum: 0.0 }
    }

    /// Counts one.
    pub(crate) fn observe(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        if let Some(at) = self.bounds.iter().position(|bound| value <= *bound) {
            self.counts[at] += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_that_of_prometheus() {
        let mut page = Page::default();
        page.family("a_total", Kind::Counter, "Says \\ and\nmore.");
        page.sample("a_total", &[("sync", "x\"y\\z\n")], 3.0);
        page.sample("a_total", &[], 0.5);
        let mut histogram = Histogram::new(&[0.1, 1.0]);
        for value in [0.05, 0.1, 0.7, 9.0] {
            histogram.observe(value);
        }
        page.family("b", Kind::Histogram, "B.");
        page.histogram("b", &[("k", "v")], &histogram);
        assert_eq!(
            page.finish(),
            "# HELP a_total Says \\\\ and\\nmore.\n# TYPE a_total counter\na_total{sync=\"x\\\"y\\\\z\\n\"} 3\na_total 0.5\n\
             # HELP b B.\n# TYPE b histogram\nb_bucket{k=\"v\",le=\"0.1\"} 2\nb_bucket{k=\"v\",le=\"1\"} 3\n\
             b_bucket{k=\"v\",le=\"+Inf\"} 4\nb_sum{k=\"v\"} 9.85\nb_count{k=\"v\"} 4\n"
        );
    }
}
