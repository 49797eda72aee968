//! `make bench-mirror`: copying between databases, measured on the real binary beside what the databases can do
//! themselves.
//!
//! Every case is a pair in one run on one server: ours, and the raw limit, which is the database's own bulk copy driven by
//! its own client. They take turns, and the ratio of a case is the median of its paired ratios. After each pair both
//! tables must be equal, or the benchmark fails. Prints a table, writes `target/bench/mirror.json` and, when a whole run
//! has been measured, the figures in `docs/benchmarks.md`.
//!
//! What can be set is in [`settings`], the cases are in [`cases`] and [`mariadb`].
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark: it reads its settings from the environment, measures time and prints"
)]

mod bench;
mod cases;
mod mariadb;
mod measure;
mod place;
mod report;
mod settings;
mod table;

use crate::{bench::Bench, place::Runner, settings::Settings};

fn main() {
    let settings = Settings::from_environment();
    let directory = tempfile::tempdir().unwrap();
    let bench = Bench::new(&settings, directory.path());
    let ours = Runner::Syncline;
    let mut cases = Vec::new();
    let begin = |case: &str, is_raw: bool| {
        let wanted = settings.wants(case) && (is_raw || !settings.limits_only);
        if wanted {
            println!("measuring {case}");
        }
        wanted
    };
    if begin("full", true) {
        cases.extend(cases::full(&bench, &ours));
    }
    if begin("full_cel", true) {
        cases.push(cases::full_cel(&bench));
    }
    if begin("replace", true) {
        cases.push(cases::replace(&bench));
    }
    if begin("merge5", true) {
        cases.extend(cases::merge(&bench, &ours));
    }
    if begin("deletes", false) {
        cases.push(cases::deletes(&bench));
    }
    for peer in &settings.peers {
        println!("measuring {peer}");
        let peer = Runner::peer(peer.clone());
        let [full, _] = cases::full(&bench, &peer);
        cases.push(full);
        cases.extend(cases::merge(&bench, &peer));
    }
    if begin("memory", false) {
        cases.extend(cases::memory(&bench));
    }
    if let Some(url) = settings.mariadb.as_ref().filter(|_| begin("mariadb", true)) {
        cases.extend(mariadb::cases(&bench, url));
    }

    print!("{}", report::screen(&cases));
    let figures = report::figures(&cases, &settings, &bench.server_settings());
    std::fs::create_dir_all("../../target/bench").unwrap();
    std::fs::write("../../target/bench/mirror.json", serde_json::to_string_pretty(&figures).unwrap())
        .unwrap();
    if settings.docs {
        let page = std::fs::read_to_string("../../docs/benchmarks.md").unwrap();
        let page = report::in_page(&page, &report::markdown(&cases, &settings, &bench.server_settings()));
        std::fs::write("../../docs/benchmarks.md", page).unwrap();
        if let Some(chart) = report::chart(&cases) {
            std::fs::write("../../docs/benchmarks-mirror.svg", chart).unwrap();
        }
    }
}
