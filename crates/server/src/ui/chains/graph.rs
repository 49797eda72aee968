//! A chain as a picture: its steps in tiers, from left to right, each right of all that it needs. The template draws it.

use std::collections::BTreeMap;

use syncline_core::chain::{Chain, Step, StepKind};

use super::super::show::Mark;

/// Most steps that are drawn; a longer chain has its table.
const DRAWN_MAX: usize = 200;
/// Size of a box, and the room between two.
const BOX: (usize, usize) = (172, 46);
const GAP: (usize, usize) = (54, 16);
const MARGIN: usize = 8;
/// Characters of a name that a box has room for.
const NAME_CHARS: usize = 20;

/// The picture, in units of the SVG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Graph {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) boxes: Vec<Box>,
    /// Paths from a step to one that needs it.
    pub(crate) lines: Vec<String>,
    /// The same in words, for who hears it.
    pub(crate) words: String,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Box {
    pub(crate) x: usize,
    pub(crate) y: usize,
    pub(crate) mark: Mark,
    /// The name, shortened.
    pub(crate) name: String,
    /// `sync · 12 s`.
    pub(crate) line: String,
    /// Whether the chain fails with it.
    pub(crate) required: bool,
}

/// Tier of each step, in the order of the definition: 0 needs nothing, the others are one after the last they need.
pub(crate) fn tiers(steps: &[Step]) -> Vec<usize> {
    let places: BTreeMap<&str, usize> =
        steps.iter().enumerate().map(|(place, step)| (step.name.as_str(), place)).collect();
    let mut tiers = vec![0; steps.len()];
    // there is no cycle, so after as many rounds as there are steps nothing moves any more
    for _ in 0..steps.len() {
        let mut moved = false;
        for (place, step) in steps.iter().enumerate() {
            let needed = step.needs.iter().filter_map(|name| places.get(name.as_str()));
            let tier = needed.map(|&needed| tiers[needed] + 1).max().unwrap_or(0);
            moved |= tier != tiers[place];
            tiers[place] = tier;
        }
        if !moved {
            break;
        }
    }
    tiers
}

/// What a step does, in a word.
pub(crate) fn kind(step: &Step) -> &'static str {
    match step.kind {
        StepKind::Sync { .. } => "sync",
        StepKind::Sql { .. } => "sql",
        StepKind::Check(_) => "check",
        StepKind::Http(_) => "http",
        StepKind::Report { .. } => "report",
    }
}

/// The picture of a chain; `state` tells where a step stands and how long it took. `None`: too many steps to be one.
pub(crate) fn graph(chain: &Chain, state: impl Fn(&Step) -> (Mark, Option<String>)) -> Option<Graph> {
    let steps = &chain.steps;
    if steps.is_empty() || steps.len() > DRAWN_MAX {
        return None;
    }
    let tiers = tiers(steps);
    let mut filled: BTreeMap<usize, usize> = BTreeMap::new();
    let mut boxes = Vec::with_capacity(steps.len());
    for (step, &tier) in steps.iter().zip(&tiers) {
        let row = filled.entry(tier).or_default();
        let (mark, took) = state(step);
        let line = took.map_or_else(|| kind(step).to_owned(), |took| format!("{} · {took}", kind(step)));
        boxes.push(Box {
            x: MARGIN + tier * (BOX.0 + GAP.0),
            y: MARGIN + *row * (BOX.1 + GAP.1),
            mark,
            name: shortened(&step.name),
            line,
            required: step.required,
        });
        *row += 1;
    }
    let (columns, rows) = (filled.len(), filled.values().max().copied().unwrap_or(1));
    Some(Graph {
        width: 2 * MARGIN + columns * (BOX.0 + GAP.0) - GAP.0,
        height: 2 * MARGIN + rows * (BOX.1 + GAP.1) - GAP.1,
        lines: lines(steps, &boxes),
        words: words(steps, &tiers, &boxes),
        boxes,
    })
}

fn lines(steps: &[Step], boxes: &[Box]) -> Vec<String> {
    let places: BTreeMap<&str, &Box> = steps.iter().map(|step| step.name.as_str()).zip(boxes).collect();
    let to = |from: &Box, to: &Box| {
        let (x1, y1) = (from.x + BOX.0, from.y + BOX.1 / 2);
        let (x2, y2) = (to.x, to.y + BOX.1 / 2);
        let half = GAP.0 / 2;
        format!("M{x1} {y1}C{} {y1} {} {y2} {x2} {y2}", x1 + half, x2 - half)
    };
    let of = |(step, here): (&Step, &Box)| -> Vec<String> {
        step.needs.iter().filter_map(|name| places.get(name.as_str())).map(|from| to(from, here)).collect()
    };
    steps.iter().zip(boxes).flat_map(of).collect()
}

fn words(steps: &[Step], tiers: &[usize], boxes: &[Box]) -> String {
    let last = tiers.iter().max().copied().unwrap_or(0);
    let tier = |tier: usize| {
        let here = steps.iter().zip(tiers).zip(boxes).filter(|((_, of), _)| **of == tier);
        let named: Vec<String> =
            here.map(|((step, _), b)| format!("{} {}", step.name, b.mark.word)).collect();
        format!("tier {}: {}", tier + 1, named.join(", "))
    };
    (0..=last).map(tier).collect::<Vec<_>>().join("; ")
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= NAME_CHARS {
        return name.to_owned();
    }
    name.chars().take(NAME_CHARS - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use syncline_core::chain::Requirement;

    use super::*;

    fn step(name: &str, needs: &[&str]) -> Step {
        Step {
            name: name.to_owned(),
            needs: needs.iter().map(|&name| name.to_owned()).collect(),
            required: true,
            requires: Vec::new(),
            timeout: Duration::from_secs(1),
            kind: StepKind::Check(Requirement::Synced {
                sync: "s".to_owned(),
                within: Duration::from_secs(1),
            }),
        }
    }

    #[test]
    fn a_step_is_right_of_all_it_needs_in_any_order_of_the_file() {
        let steps = [step("last", &["b", "a"]), step("b", &["a"]), step("a", &[]), step("alone", &[])];
        assert_eq!(tiers(&steps), [2, 1, 0, 0]);
    }

    #[test]
    fn the_picture_says_what_it_shows() {
        let steps = vec![step("a", &[]), step("b", &[]), step("a very long name of a step", &["a", "b"])];
        let chain = Chain { name: "c".to_owned(), schedules: Vec::new(), steps };
        let graph = graph(&chain, |_| (Mark::ok("succeeded"), Some("2 s".to_owned()))).unwrap();
        assert_eq!((graph.width, graph.height), (414, 124));
        let places: Vec<_> = graph.boxes.iter().map(|b| (b.x, b.y)).collect();
        assert_eq!(places, [(8, 8), (8, 70), (234, 8)]);
        assert_eq!(graph.lines, ["M180 31C207 31 207 31 234 31", "M180 93C207 93 207 31 234 31"]);
        assert_eq!(
            graph.words,
            "tier 1: a succeeded, b succeeded; tier 2: a very long name of a step succeeded"
        );
        assert_eq!(graph.boxes[2].name, "a very long name of…");
        assert_eq!(graph.boxes[0].line, "check · 2 s");
    }
}
