//! The files under `ops/`: a process manager, a container and a cluster can use them as they are.

use std::{path::Path, process::Command};

use granit_parser::{Event, Parser};

use crate::kit::Place;

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ops").join(file);
    std::fs::read_to_string(path).unwrap()
}

/// The values of the lines that give a key of the unit.
fn settings(unit: &str, key: &str) -> Vec<String> {
    let lines = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    lines.map(str::to_owned).collect()
}

#[test]
fn the_unit_waits_longer_for_a_stop_than_a_stop_may_take() {
    let unit = read("syncline.service");
    assert_eq!(settings(&unit, "Type"), ["notify"]);
    assert_eq!(settings(&unit, "Restart"), ["on-failure"]);
    let stop = settings(&unit, "TimeoutStopSec").concat();
    let stop: u64 = stop.trim_end_matches('s').parse().unwrap();
    assert!(stop > syncline_core::project::ServerOptions::default().grace.as_secs());
}

#[test]
fn the_unit_passes_the_managers_own_check() {
    let unit = read("syncline.service");
    let place = Place::empty();
    // The check insists that the program exists.
    let unit = unit.replace("/usr/bin/syncline", env!("CARGO_BIN_EXE_syncline"));
    place.write("syncline.service", unit);
    let check = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(place.path("syncline.service"))
        .env("SYSTEMD_LOG_LEVEL", "warning")
        .output();
    let Ok(check) = check else { return println!("skipped: no systemd-analyze") };
    let said = String::from_utf8_lossy(&check.stderr).into_owned();
    let ours: Vec<_> = said.lines().filter(|line| line.contains("syncline.service")).collect();
    assert!(check.status.success() && ours.is_empty(), "{said}");
}

#[test]
fn the_command_of_the_unit_is_one() {
    let unit = read("syncline.service");
    let command = settings(&unit, "ExecStart").concat();
    let place = Place::empty();
    let args: Vec<&str> = command.split(' ').skip(1).chain(["--help"]).collect();
    place.syncline(&args).with_code(0).saying("Run as a service");
}

#[test]
fn the_manifest_is_yaml_of_five_kinds() {
    let manifest = read("kubernetes.yaml");
    let mut documents = 0;
    for event in Parser::new_from_str(&manifest) {
        let (event, _) = event.unwrap();
        documents += u32::from(matches!(event, Event::DocumentStart(..)));
    }
    assert_eq!(documents, 5);
    let kinds: Vec<_> = manifest.lines().filter_map(|line| line.strip_prefix("kind: ")).collect();
    assert_eq!(kinds, ["Secret", "ConfigMap", "Service", "PodDisruptionBudget", "Deployment"]);
    for path in ["/livez", "/readyz"] {
        assert!(
            manifest.contains(&format!("httpGet: {{ path: {path}, port: https, scheme: HTTPS }}")),
            "{path}"
        );
    }
}

#[test]
fn the_project_in_the_manifest_is_right() {
    let manifest = read("kubernetes.yaml");
    let block = manifest.lines().skip_while(|line| *line != "  syncline.yaml: |").skip(1);
    let project: Vec<&str> = block.map_while(|line| line.strip_prefix("    ")).collect();
    assert!(project.len() > 10, "{project:?}");
    let mut place = Place::empty();
    for name in ["STORE_URL", "ERP_URL", "CACHE_URL"] {
        assert!(manifest.contains(&format!("\n  {name}: postgres://")), "{name} is in the secret");
        place.set(name, "postgres://somewhere.example/database");
    }
    place.write("syncline.yaml", project.join("\n"));
    place.syncline(&["check", "--offline"]).with_code(0);
}

#[test]
fn the_image_is_built_with_the_compiler_of_the_workspace() {
    let dockerfile = read("Dockerfile");
    let from: Vec<&str> = dockerfile.lines().filter_map(|line| line.strip_prefix("FROM ")).collect();
    let root =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml")).unwrap();
    let version =
        root.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().trim_matches('"');
    assert_eq!(from[0], format!("docker.io/library/rust:{version}-alpine AS build"));
    assert!(from[1].contains("/distroless/static") && from[1].ends_with(":nonroot"), "{from:?}");
    assert!(dockerfile.contains("\nUSER 65532:65532\n"));
}
