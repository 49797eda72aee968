//! The destination's disk is full. A small file system cannot be made everywhere, so the server is given a C library that
//! finds no room for new blocks; everything else is the real server's doing.

use std::process::Command;

use super::{
    kit::{FAILPOINT, Loads, MIRROR, at_failpoint, go_on},
    server::Server,
};

#[test]
fn a_full_disk_stops_a_load_and_changes_nothing() {
    let library = tempfile::Builder::new().suffix(".so").tempfile_in("/tmp").unwrap();
    let full = std::env::temp_dir().join(format!("syncline-disk-is-full-{}", std::process::id()));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/loads/full_disk.c");
    let made = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(library.path())
        .args([source, "-ldl"])
        .output();
    let made = made.expect("a C compiler, which also links Rust");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    std::fs::set_permissions(library.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let variables = [
        ("LD_PRELOAD".to_owned(), library.path().display().to_string()),
        ("SYNCLINE_DISK_IS_FULL".to_owned(), full.display().to_string()),
    ];
    let server = Server::start_with(&[], &variables);
    for write in ["mirror", "replace"] {
        for (place, mode) in [("engine.load.staging", "full"), ("engine.load.before_commit", "full")] {
            let mut loads = Loads::on(&server.url());
            loads.things(20_000);
            loads.project(&MIRROR.replace("write: mirror", &format!("write: {write}")));
            loads.run(&["-q"]).with_code(0);
            loads.to.sql("CREATE INDEX things_name ON things (name)");
            loads.from.sql("UPDATE things SET name = 'changed ' || repeat('x', 200), updated_at = now()");
            let before = loads.to.digest("things");
            loads.place.set(FAILPOINT, &format!("{place}=delay"));
            let (child, mut said) = loads.start(&["run", "-q", "--mode", mode]);
            at_failpoint(&mut said);
            std::fs::write(&full, "").unwrap();
            let ended = go_on(child, said);
            std::fs::remove_file(&full).unwrap();
            ended
                .with_code(1)
                .saying("No space left on device")
                .saying("hint: make room on the server's disk");
            loads.place.unset(FAILPOINT);
            assert_eq!(loads.to.digest("things"), before, "{write} {place}");
            loads.run(&["-q", "--mode", "full"]).with_code(0);
            loads.same("things");
        }
    }
}
