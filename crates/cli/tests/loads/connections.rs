//! Servers that refuse, and networks that end.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use super::{
    kit::{Db, FAILPOINT, Loads, MIRROR, at_failpoint, authority, go_on, server},
    server::Server,
};

/// An address with another user, password or database.
fn as_user(url: &str, user: &str) -> String {
    url.replace("postgres://postgres@", &format!("postgres://{user}@"))
}

#[test]
fn few_connections_are_enough() {
    for limit in [1, 2, 3] {
        let loads = Loads::new();
        // large enough to be read in parts
        loads.from.sql(
            "CREATE TABLE things (id bigint PRIMARY KEY, filler text, updated_at timestamptz NOT NULL DEFAULT now()); \
             INSERT INTO things SELECT i, repeat('x', 900), now() FROM generate_series(1, 9000) i",
        );
        let role = format!("few_{}_{limit}", std::process::id());
        loads.to.sql(&format!("CREATE ROLE {role} LOGIN CONNECTION LIMIT {limit}"));
        loads.to.sql(&format!("GRANT ALL ON SCHEMA public TO {role}"));
        loads.from.sql(&format!("GRANT SELECT ON things TO {role}"));
        let (from, to) = (as_user(&loads.from.url, &role), as_user(&loads.to.url, &role));
        let sync = MIRROR
            .replace("table: public.things }\n    write", "table: public.things, parallel: 4 }\n    write");
        // one side after the other: both are one role on one server here
        for (from, to) in [(&from, &loads.to.url), (&loads.from.url, &to)] {
            loads.to.sql("DROP TABLE IF EXISTS things, syncline_state");
            loads.project_between(from, to, &sync);
            loads.run(&["-q"]).with_code(0);
            loads.run(&["-q", "--mode", "full"]).with_code(0);
            loads.same("things");
        }
        loads.to.sql(&format!("DROP OWNED BY {role}"));
        loads.from.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
    }
}

#[test]
fn a_role_that_may_have_no_connection_is_told_what_to_do() {
    let loads = Loads::new();
    loads.things(10);
    let role = format!("none_{}", std::process::id());
    loads.to.sql(&format!("CREATE ROLE {role} LOGIN CONNECTION LIMIT 0"));
    loads.project_between(&loads.from.url, &as_user(&loads.to.url, &role), MIRROR);
    loads
        .run(&["-q"])
        .with_code(1)
        .saying(&format!("too many connections for role \"{role}\""))
        .saying("hint: ")
        .saying("connections");
    loads.to.sql(&format!("DROP ROLE {role}"));
}

#[test]
fn passwords_and_databases_that_are_wrong_are_named() {
    let loads = Loads::new();
    loads.things(10);
    for (url, words) in [
        (
            as_user(&loads.to.url, "syncline_pw:wrong"),
            "password authentication failed for user \"syncline_pw\"",
        ),
        (as_user(&loads.to.url, "syncline_pw"), "the server asks for a password"),
        (as_user(&loads.to.url, "nobody_of_ours"), "role \"nobody_of_ours\" does not exist"),
        (
            format!("{}/not_there", server().rsplit_once('/').unwrap().0),
            "database \"not_there\" does not exist",
        ),
    ] {
        for (from, to) in [(&loads.from.url, &url), (&url, &loads.to.url)] {
            loads.project_between(from, to, MIRROR);
            let ended = loads.run(&["-q"]).with_code(1).saying(words).saying("hint: ");
            assert!(!ended.err.contains("wrong@"), "{}", ended.err);
        }
    }
    assert_eq!(loads.to.one("SELECT to_regclass('things')"), "-");
}

#[test]
fn a_server_that_wants_tls_says_so_and_gets_it() {
    let server = Server::start();
    let ca = authority();
    let shared = ca.parent().unwrap();
    for name in ["server.crt", "server.key"] {
        server.write(&format!("data/{name}"), &std::fs::read(shared.join(name)).unwrap());
    }
    let loads = Loads::on(&server.url());
    loads.things(50);
    Db::open(&server.url()).sql("ALTER SYSTEM SET ssl = on");
    server.write("data/pg_hba.conf", b"hostssl all all 127.0.0.1/32 trust\nlocal all all trust\n");
    server.reload();
    let plain = |url: &str| format!("{url}?sslmode=disable");
    crate::kit::until("plain connections are refused", || Db::try_open(&server.url()).is_err());
    loads.project_between(&plain(&loads.from.url), &plain(&loads.to.url), MIRROR);
    loads.run(&["-q"]).with_code(1).saying("no encryption").saying("set sslmode=require in the url");
    let secure = |url: &str| format!("{url}?sslmode=verify-full&sslrootcert={}", ca.display());
    loads.project_between(&secure(&loads.from.url), &secure(&loads.to.url), MIRROR);
    loads.run(&["-q"]).with_code(0);
    loads.same("things");
}

/// A way to a server that can be cut.
struct Wire {
    port: u16,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Wire {
    #[expect(
        clippy::disallowed_methods,
        reason = "they end with the streams, and the test process at the latest"
    )]
    fn to(server: &str) -> Self {
        let authority = server.split('@').nth(1).unwrap().split('/').next().unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let open = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&open);
        std::thread::spawn(move || {
            for here in listener.incoming().flatten() {
                let there = TcpStream::connect(&authority).unwrap();
                for (from, to) in [(&here, &there), (&there, &here)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    std::thread::spawn(move || carry(from, to));
                }
                kept.lock().unwrap().extend([here, there]);
            }
        });
        Self { port, open }
    }

    fn through(&self, url: &str) -> String {
        let (user, rest) = url.split_once('@').unwrap();
        let (_, database) = rest.split_once('/').unwrap();
        format!("{user}@127.0.0.1:{}/{database}", self.port)
    }

    fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    let mut piece = [0; 16 << 10];
    while let Ok(length @ 1..) = from.read(&mut piece) {
        if to.write_all(&piece[..length]).is_err() {
            break;
        }
    }
    drop(to.shutdown(Shutdown::Both));
}

#[test]
fn a_network_that_ends_in_the_middle_changes_nothing() {
    for (cut_source, place) in
        [(true, "engine.load.staging"), (false, "engine.load.staging"), (false, "engine.load.before_commit")]
    {
        for write in ["mirror", "replace"] {
            let mut loads = Loads::new();
            loads.things(30_000);
            let wire = Wire::to(&server());
            let (from, to) = if cut_source {
                (wire.through(&loads.from.url), loads.to.url.clone())
            } else {
                (loads.from.url.clone(), wire.through(&loads.to.url))
            };
            loads.project_between(&from, &to, &MIRROR.replace("write: mirror", &format!("write: {write}")));
            loads.run(&["-q"]).with_code(0);
            loads.from.sql("UPDATE things SET name = 'changed ' || repeat('x', 100), updated_at = now()");
            let before = loads.to.digest("things");
            loads.place.set(FAILPOINT, &format!("{place}=delay"));
            let (child, mut said) = loads.start(&["run", "-q", "--mode", "full"]);
            at_failpoint(&mut said);
            wire.cut();
            let ended =
                go_on(child, said).with_code(1).saying("connection to the server was lost").saying("hint: ");
            assert!(!ended.err.contains("panicked"), "{}", ended.err);
            loads.place.unset(FAILPOINT);
            assert_eq!(loads.to.digest("things"), before, "{place} {write}");
            loads.run(&["-q"]).with_code(0);
            loads.same("things");
        }
    }
}
