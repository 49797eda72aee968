//! What only a service has a use for: schedules, chains, reports, alerts, the server; what they mean, and every problem.

use std::time::Duration;

use syncline_core::{
    alert::{AlertKind, ReceiverKind},
    chain::{HttpCall, Requirement, StepKind},
    project::{Mail, Retention, StoreOptions, Tls, Users},
    schedule::{Misfire, Overlap},
    sync::{Mode, Schedule},
};
use syncline_spec::{Environment, Loaded, parse};

use crate::world::{CONNECTORS, SECRET, World, project, rendered, sync};

/// The usual surroundings, and a template.
struct Surroundings;

impl Environment for Surroundings {
    fn variable(&self, name: &str) -> Option<String> {
        match name {
            "HOOK" => Some(format!("https://hooks.example/{SECRET}")),
            "SMTP_URL" => Some(format!("smtps://app:{SECRET}@mail.example:465")),
            "STORE_URL" => Some(format!("postgres://app:{SECRET}@db/store")),
            "CRON" => Some(format!("{SECRET} * * * *")),
            _ => World.variable(name),
        }
    }

    fn file(&self, path: &str) -> Result<String, String> {
        if path == "weekly.html" { Ok("<p>{{ rows }}</p>\n".into()) } else { World.file(path) }
    }
}

/// A project with a sync `s` from `a` to `b`, and the given sections from line 9 on.
fn with(sections: &str) -> String {
    format!("{}{sections}", project(""))
}

fn load(sections: &str) -> Loaded {
    let yaml = with(sections);
    match parse("p.yaml", &yaml, CONNECTORS, &Surroundings) {
        Ok(loaded) => loaded,
        Err(problems) => panic!("of\n{yaml}\n{}", rendered(&problems)),
    }
}

#[track_caller]
fn check(sections: &str, expected: &[&str]) {
    let yaml = with(sections);
    let problems = match parse("p.yaml", &yaml, CONNECTORS, &Surroundings) {
        Ok(loaded) => loaded.warnings,
        Err(problems) => problems,
    };
    let expected: String = expected.iter().map(|line| format!("p.yaml:{line}\n")).collect();
    let found = rendered(&problems);
    assert!(
        !found.contains(SECRET) && !format!("{problems:?}").contains(SECRET),
        "a secret is shown:\n{found}"
    );
    assert!(found == expected, "of\n{yaml}\nexpected\n{expected}\nfound\n{found}");
}

/// Problems of the steps of a chain, one a line from line 12 on, indented by six.
#[track_caller]
fn check_steps(steps: &str, expected: &[&str]) {
    check(&format!("chains:\n  c:\n    steps:\n{steps}"), expected);
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn schedules_say_what_becomes_of_what_was_missed() {
    let text = "    schedule:
      - { every: 1h, misfire: skip, overlap: queue, jitter: 10s }
      - { cron: '0 2 * * *', zone: Europe/Berlin, misfire: { all: 7 } }
      - { name: weekly, cron: '0 3 * * SUN', misfire: all, enabled: false }\n";
    let cron = |cron: &str| Schedule { cron: Some(cron.to_owned()), ..Schedule::EMPTY };
    assert_eq!(
        sync(text).schedules,
        [
            Schedule {
                every: Some(HOUR),
                misfire: Misfire::Skip,
                overlap: Overlap::Queue,
                jitter: Some(Duration::from_secs(10)),
                ..Schedule::EMPTY
            },
            Schedule { zone: Some("Europe/Berlin".into()), misfire: Misfire::All(7), ..cron("0 2 * * *") },
            Schedule {
                name: Some("weekly".into()),
                misfire: Misfire::All(100),
                enabled: false,
                ..cron("0 3 * * SUN")
            },
        ]
    );
}

#[test]
fn times_that_are_none() {
    let chain = |schedule: &str| {
        format!("chains:\n  c:\n    schedule: {schedule}\n    steps: {{ s: {{ sync: s }} }}\n")
    };
    for (schedule, expected) in [
        (
            "{ cron: '0 2 31 2 *' }",
            r#"11:23: chains.c.schedule.cron "0 2 31 2 *" never comes: no month has such a day"#,
        ),
        (
            "{ cron: '61 2 * * *' }",
            r#"11:23: chains.c.schedule.cron "61 2 * * *" is not a pattern: number out of bounds"#,
        ),
        (
            "{ cron: \"${CRON}\" }",
            r#"11:23: chains.c.schedule.cron must be a cron pattern when its variables are filled in, not "${CRON}""#,
        ),
        (
            "{ cron: '@daily' }",
            r#"11:23: chains.c.schedule.cron must have five fields: minute, hour, day of month, month, day of week, not "@daily""#,
        ),
        (
            "{ cron: '0 2 * * *', zone: Europe/Berln }",
            r#"11:42: chains.c.schedule.zone must be an IANA time zone, such as Europe/Berlin or UTC, not "Europe/Berln"; did you mean "Europe/Berlin"?"#,
        ),
        (
            "{ cron: '0 2 * * *', zone: new york }",
            r#"11:42: chains.c.schedule.zone must be an IANA time zone, such as Europe/Berlin or UTC, not "new york"; did you mean "America/New_York"?"#,
        ),
        ("{ every: 1h, mode: full }", "11:28: chains.c.schedule.mode is for syncs only"),
        (
            "[{ every: 60m }, { every: 1h }]",
            "11:5: chains.c.schedule has the same time twice; give these schedules names",
        ),
        (
            "{ every: 1h, misfire: lates }",
            r#"11:37: chains.c.schedule.misfire must be skip, latest or all, not "lates"; did you mean "latest"?"#,
        ),
        (
            "{ every: 1h, misfire: { all: 0 } }",
            r#"11:44: chains.c.schedule.misfire.all must be a whole number from 1 to 10000, not "0""#,
        ),
    ] {
        check(&chain(schedule), &[expected]);
    }
}

#[test]
fn a_chain_has_steps_of_every_kind() {
    let loaded = load(
        "chains:
  daily:
    schedule: { cron: '0 2 * * *' }
    steps:
      s: { sync: s, mode: full, timeout: 2h }
      counts:
        sql: { connection: a, statements: ['update t set n = 1;', delete from log] }
        needs: [s]
        requires:
          - rows: { connection: a, query: select count(*) from t }
          - fresh: { connection: a, query: select max(at) from t, within: 2d }
          - synced: { sync: s, within: 1d }
      check: { check: { rows: { connection: a, query: select 1, max: 5 } }, required: false }
      tell: { http: { url: '${HOOK}', headers: { X-Key: '${CLIENT_SECRET}' }, body: hi, expect: [200, 204] } }
      ask: { http: { url: 'http://x', method: GET } }
      weekly: { report: weekly, needs: [counts, check] }
reports:
  weekly: { connection: a, query: select 1, subject: S, template: weekly.html, to: ['{{ group }}'], group_by: g }
  all: { connection: a, queries: { x: select 1, y: select 2 }, subject: S, html: <p>, text: T, file: 'out/{{ group }}' }
",
    );
    assert!(!format!("{loaded:?}").contains(SECRET));
    let chain = loaded.project.chain("daily").unwrap();
    assert_eq!(chain.schedules[0].cron.as_deref(), Some("0 2 * * *"));
    let step = |name: &str| chain.steps.iter().find(|step| step.name == name).unwrap();
    let names: Vec<&str> = chain.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["s", "counts", "check", "tell", "ask", "weekly"]);
    assert_eq!(step("s").kind, StepKind::Sync { sync: "s".into(), mode: Some(Mode::Full) });
    assert_eq!((step("s").timeout, step("counts").timeout), (2 * HOUR, HOUR));
    assert_eq!((step("s").required, step("check").required), (true, false));
    assert_eq!(step("weekly").needs, ["counts", "check"]);
    let statements = vec!["update t set n = 1".to_owned(), "delete from log".to_owned()];
    assert_eq!(step("counts").kind, StepKind::Sql { connection: "a".into(), statements });
    let rows =
        |query: &str, min, max| Requirement::Rows { connection: "a".into(), query: query.into(), min, max };
    assert_eq!(
        step("counts").requires,
        [
            rows("select count(*) from t", Some(1), None),
            Requirement::Fresh {
                connection: "a".into(),
                query: "select max(at) from t".into(),
                within: 48 * HOUR
            },
            Requirement::Synced { sync: "s".into(), within: 24 * HOUR },
        ]
    );
    assert_eq!(step("check").kind, StepKind::Check(rows("select 1", None, Some(5))));
    let call = HttpCall {
        method: "POST".into(),
        url: format!("https://hooks.example/{SECRET}"),
        headers: vec![("X-Key".into(), SECRET.into())],
        body: Some("hi".into()),
        expect: vec![200, 204],
    };
    assert_eq!(step("tell").kind, StepKind::Http(call));
    assert!(
        matches!(&step("ask").kind, StepKind::Http(call) if call.method == "GET" && call.expect.is_empty())
    );
    let weekly = loaded.project.report("weekly").unwrap();
    assert_eq!((weekly.html.as_str(), weekly.text.as_deref()), ("<p>{{ rows }}</p>\n", None));
    assert_eq!(weekly.queries, [("rows".to_owned(), "select 1".to_owned())]);
    assert_eq!(
        (weekly.to.as_slice(), weekly.group_by.as_deref()),
        (["{{ group }}".to_owned()].as_slice(), Some("g"))
    );
    let all = loaded.project.report("all").unwrap();
    assert_eq!(all.queries.iter().map(|q| q.0.as_str()).collect::<Vec<_>>(), ["x", "y"]);
    assert_eq!(all.file.as_deref(), Some("out/{{ group }}"));
}

#[test]
fn steps_that_cannot_be() {
    check_steps(
        "      x: { sync: t }
      y: { sync: s, needs: [x, z, y, x], requires: [] }
      z2: { sync: s, http: { url: ftp://x } }
      none: { needs: [y] }
      sqll: { sqll: { connection: a } }
      m: { report: r, mode: full }
",
        &[
            r#"12:18: chains.c.steps.x.sync "t" is not a sync; syncs: s"#,
            r#"13:32: chains.c.steps.y.needs[1] "z" is not a step of this chain; did you mean "z2"?"#,
            "13:35: chains.c.steps.y.needs[2] is the step itself",
            r#"13:38: chains.c.steps.y.needs names "x" twice"#,
            "13:52: chains.c.steps.y.requires must not be empty",
            "14:7: chains.c.steps.z2 needs exactly one of sync, sql, check, http and report",
            "14:35: chains.c.steps.z2.http.url must begin with https:// or http://",
            "15:7: chains.c.steps.none needs exactly one of sync, sql, check, http and report",
            r#"16:15: unknown key "sqll" in chains.c.steps.sqll; did you mean "sql"?"#,
            r#"17:20: chains.c.steps.m.report "r" is not a report"#,
            "17:23: chains.c.steps.m.mode is for steps with sync only",
        ],
    );
    check_steps(
        "      a: { sql: { connection: c, statement: x, statements: [y] } }
      b: { sql: { connection: a, statement: ' ; ' } }
      c: { check: { rows: { connection: a, query: x, min: 5, max: 4 }, fresh: {} } }
      d: { check: { rows: { connection: a, query: x, min: 5, max: 4 } } }
      e: { check: { fresh: { connection: a, query: x, within: 0s } }, timeout: 0s }
      f: { check: { synced: { sync: S, within: 1d } } }
      g: { http: { url: 'https://x', method: HEAD, headers: { 'a b': c }, expect: [99] } }
",
        &[
            "12:12: chains.c.steps.a.sql needs exactly one of statement and statements",
            r#"12:31: chains.c.steps.a.sql.connection "c" is not a connection; connections: a, b"#,
            "13:45: chains.c.steps.b.sql.statement must not be empty",
            "14:12: chains.c.steps.c.check needs exactly one of rows, fresh and synced",
            "15:67: chains.c.steps.d.check.rows.max is less than min",
            "16:63: chains.c.steps.e.check.fresh.within must be more than nothing",
            "16:80: chains.c.steps.e.timeout must be more than nothing",
            r#"17:37: chains.c.steps.f.check.synced.sync "S" is not a sync; did you mean "s"?"#,
            r#"18:46: chains.c.steps.g.http.method must be GET, POST, PUT, PATCH or DELETE, not "HEAD""#,
            r#"18:63: "a b" is not the name of a header"#,
            r#"18:84: chains.c.steps.g.http.expect[0] must be a whole number from 100 to 599, not "99""#,
        ],
    );
}

#[test]
fn a_circle_is_shown() {
    check_steps(
        "      start: { sync: s }
      a: { sync: s, needs: [start, c] }
      b: { sync: s, needs: [a] }
      c: { sync: s, needs: [b] }
",
        &["13:7: steps need each other in a circle: a → c → b → a"],
    );
    check_steps("      a: { sync: s, needs: [b] }\n      b: { sync: s }\n", &[]);
    let many: String = (0..201).map(|n| format!("      s{n}: {{ sync: s }}\n")).collect();
    check_steps(&many, &["10:3: 201 steps; at most 200 are allowed"]);
}

#[test]
fn a_long_chain_is_read_in_time() {
    let mut steps = "      s0: { sync: s }\n".to_owned();
    for n in 1..200 {
        let needs = (0..n).map(|m| format!("s{m}")).collect::<Vec<_>>().join(", ");
        steps.push_str(&format!("      s{n}: {{ sync: s, needs: [{needs}] }}\n"));
    }
    check_steps(&steps, &[]);
}

#[test]
fn reports_that_cannot_be() {
    check(
        "reports:
  a: { connection: x, query: select 1, subject: S, html: H, to: [t] }
  b: { connection: a, query: select 1, queries: { q: x }, subject: S, template: no.html, file: f }
  c: { connection: a, queries: { '1x': select 1 }, subject: S, html: H, template: weekly.html }
  d: { connection: a, subject: S, html: H, to: [t] }
",
        &[
            r#"10:20: reports.a.connection "x" is not a connection; connections: a, b"#,
            "11:3: reports.b needs exactly one of query and queries",
            r#"11:81: reports.b.template "no.html" cannot be read: not found"#,
            "12:3: reports.c needs exactly one of template and html",
            "12:3: reports.c goes nowhere: it has neither to nor file",
            r#"12:34: "1x" is not a name for a template; letters, digits and _, not a digit first"#,
            "13:3: reports.d needs exactly one of query and queries",
        ],
    );
}

#[test]
fn alerts_have_receivers() {
    let loaded = load(
        "alerts:
  all: { on: [failed, late, partial, parked, held, anomaly], to: [ops, hook, mail] }
  some: { on: [parked], about: [s], to: [ops], throttle: 5m, parked: 10 }
receivers:
  ops: { slack: { url: '${HOOK}' } }
  hook: { webhook: { url: '${HOOK}', secret: '${CLIENT_SECRET}' } }
  mail: { email: [ops@example.org, 'Ops <o@example.org>'] }
server: { mail: { url: '${SMTP_URL}', from: syncline@example.org } }
",
    );
    assert!(loaded.warnings.is_empty() && !format!("{loaded:?}").contains(SECRET));
    let [all, some] = loaded.project.alerts.as_slice() else { panic!("two alerts") };
    assert_eq!((all.on.as_slice(), all.throttle), (AlertKind::ALL.as_slice(), HOUR));
    assert_eq!((all.about.len(), all.parked_max, all.anomaly_percent), (0, 100, 50.0));
    assert_eq!((some.about.as_slice(), some.parked_max), (["s".to_owned()].as_slice(), 10));
    let url = format!("https://hooks.example/{SECRET}");
    let kinds: Vec<&ReceiverKind> = loaded.project.receivers.iter().map(|receiver| &receiver.kind).collect();
    assert!(*kinds[0] == ReceiverKind::Slack { url: url.clone() });
    assert!(*kinds[1] == ReceiverKind::Webhook { url, secret: SECRET.into() });
    let to = vec!["ops@example.org".to_owned(), "Ops <o@example.org>".to_owned()];
    assert!(*kinds[2] == ReceiverKind::Email { to });
}

#[test]
fn alerts_that_cannot_be() {
    check(
        "alerts:
  a: { on: [fialed], about: [t], to: [opps] }
  b: { on: [late], to: [ops], parked: 5 }
receivers:
  ops: { email: [nobody] }
  two: { slack: { url: x }, webhook: { url: 'https://x', secret: here } }
  key: { webhook: { url: 'https://x', secret: here } }
",
        &[
            r#"10:13: alerts.a.on[0] must be failed, late, partial, parked, held or anomaly, not "fialed"; did you mean "failed"?"#,
            r#"10:30: alerts.a.about[0] "t" is neither a sync nor a chain; syncs and chains: s"#,
            r#"10:39: alerts.a.to[0] "opps" is not a receiver; did you mean "ops"?"#,
            "11:31: warning: alerts.b.parked has no effect: on does not name parked",
            r#"13:10: receivers.ops.email needs server.mail; server: { mail: { url: "${SMTP_URL}", from: … } }"#,
            r#"13:18: receivers.ops.email[0] must be an address, such as ops@example.org, not "nobody""#,
            "14:3: receivers.two needs exactly one of webhook, slack and email",
            "15:47: warning: receivers.key.webhook.secret holds a secret that everybody who reads this file can see; use ${NAME} for an environment variable or ${file:path} for a file",
        ],
    );
}

#[test]
fn the_server_and_a_store_on_postgres() {
    let loaded = load(
        "server:
  bind: 0.0.0.0:443
  tls: { certificate: tls/cert.pem, key: tls/key.pem }
  parallel: 16
  limits: { a: 2 }
  retention: { runs: 30d, events: 7d }
  mail: { url: '${SMTP_URL}', from: 'Syncline <syncline@example.org>', timeout: 5s }
  grace: 10s
store: { path: '${STORE_URL}', tenant: north }
",
    );
    assert!(loaded.warnings.is_empty() && !format!("{loaded:?}").contains(SECRET));
    let server = &loaded.project.server;
    assert_eq!(
        (server.bind.to_string().as_str(), server.parallel, server.grace),
        ("0.0.0.0:443", 16, HOUR / 360)
    );
    assert_eq!(server.tls, Some(Tls { certificate: "tls/cert.pem".into(), key: "tls/key.pem".into() }));
    assert_eq!(server.limits, [("a".to_owned(), 2)].into());
    assert_eq!(server.retention, Retention { runs: 720 * HOUR, events: 168 * HOUR });
    let mail = Mail {
        url: format!("smtps://app:{SECRET}@mail.example:465"),
        from: "Syncline <syncline@example.org>".into(),
        timeout: Duration::from_secs(5),
    };
    assert_eq!(server.mail, Some(mail));
    let StoreOptions { path, tenant, .. } = &loaded.project.store;
    assert_eq!((path, tenant.as_str()), (&format!("postgres://app:{SECRET}@db/store"), "north"));
    let plain = load("");
    assert_eq!(plain.project.server.bind.to_string(), "127.0.0.1:8450");
}

#[test]
fn users_of_an_identity_provider() {
    let loaded = load(
        "server:
  users:
    issuer: https://login.example/t1/v2.0
    audience: [api://syncline, 11111111-2222-3333-4444-555555555555]
    jwks: https://login.example/t1/keys
    tenant: t1
    clock_skew: 30s
    required_scope: access_as_user
",
    );
    assert!(loaded.warnings.is_empty());
    let users = Users {
        issuer: "https://login.example/t1/v2.0".into(),
        audience: vec!["api://syncline".into(), "11111111-2222-3333-4444-555555555555".into()],
        jwks: Some("https://login.example/t1/keys".into()),
        tenant: Some("t1".into()),
        clock_skew: Duration::from_secs(30),
        required_scope: Some("access_as_user".into()),
    };
    assert_eq!(loaded.project.server.users, Some(users));
    for here in ["http://127.0.0.1:5000/t1", "http://[::1]:5000/t1", "http://localhost:5000"] {
        let loaded = load(&format!("server:\n  users: {{ issuer: '{here}', audience: [a] }}\n"));
        let users = loaded.project.server.users.expect("users");
        assert_eq!((users.issuer.as_str(), users.clock_skew), (here, Duration::from_secs(60)));
    }
    assert_eq!(load("").project.server.users, None);
}

#[test]
fn users_that_cannot_be() {
    check(
        "server:
  users:
    issuer: http://login.example/t1
    jwks: file:///keys
    clock_skew: 1h
    scopes: x
",
        &[
            r#"10:3: "audience" is missing in server.users"#,
            r#"11:13: server.users.issuer must begin with https://, or be on this machine (http://127.0.0.1…), not "http://login.example/t1""#,
            "12:11: server.users.jwks must begin with https:// or http://",
            r#"13:17: server.users.clock_skew must be at most 5m, not "1h""#,
            r#"14:5: unknown key "scopes" in server.users; did you mean "required_scope"?"#,
        ],
    );
}

#[test]
fn servers_that_cannot_be() {
    check(
        "server:
  bind: 0.0.0.0:80
  limits: { x: 1, a: 0 }
  retention: { runs: 1h }
  mail: { url: 'http://x', from: nobody }
store: { path: 'mysql://x', tenant: a b, max_size: 1GiB }
",
        &[
            r#"10:9: server.bind "0.0.0.0:80" can be reached from elsewhere, so it needs tls; add server.tls, or bind to 127.0.0.1 behind a proxy that has a certificate"#,
            r#"11:13: "x" is not a connection; connections: a, b"#,
            r#"11:22: server.limits.a must be a whole number from 1 to 1000, not "0""#,
            r#"12:22: server.retention.runs must be at least 1d, not "1h""#,
            "13:16: server.mail.url must begin with smtps:// or smtp://",
            r#"13:34: server.mail.from must be an address, such as Syncline <syncline@example.org>, not "nobody""#,
            "14:16: store.path must be a file or an address that begins with postgres://",
            "14:29: store.tenant is for a store on PostgreSQL only",
            r#"14:37: "a b" is not a name; names are made of letters, digits, _, - and ., start with a letter, a digit or _, and have at most 63 characters"#,
        ],
    );
    check(
        "store: { path: 'postgres://u:p@h/d', busy_timeout: 1s }\nserver: { bind: localhost }\n",
        &[
            "9:16: warning: store.path holds a secret that everybody who reads this file can see; use ${NAME} for an environment variable or ${file:path} for a file",
            "9:38: store.busy_timeout is for a store on SQLite only",
            r#"10:17: server.bind must be an address and a port, such as 127.0.0.1:8450, not "localhost""#,
        ],
    );
}
