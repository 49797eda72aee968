//! `examples/partner-training`, end to end: exactly those files, real PostgreSQL databases, and a mail server.

use std::path::Path;

use crate::{databases::Postgres, kit::Place};

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/partner-training").join(file);
    std::fs::read_to_string(path).unwrap()
}

/// The example beside its three databases.
struct Training {
    place: Place,
    lms: Postgres,
    crm: Postgres,
    hub: Postgres,
}

impl Training {
    fn new(name: &str) -> Option<Self> {
        let database = |of: &str| Postgres::create(&format!("training_{name}_{of}"));
        let (lms, crm, hub) = (database("lms")?, database("crm")?, database("hub")?);
        lms.execute(&(read("lms/schema.sql") + &read("lms/data.sql")));
        crm.execute(&(read("crm/schema.sql") + &read("crm/data.sql")));
        hub.execute(&read("hub/schema.sql"));
        let mut place = Place::empty();
        place.write("syncline.yaml", read("syncline.yaml"));
        std::fs::create_dir(place.directory.path().join("templates")).unwrap();
        for template in ["templates/managers.html", "templates/executive.html"] {
            place.write(template, read(template));
        }
        for (variable, url) in [("LMS_URL", &lms.url), ("CRM_URL", &crm.url), ("HUB_URL", &hub.url)] {
            place.set(variable, url);
        }
        place.set("SMTP_URL", "smtp://127.0.0.1:1");
        Some(Self { place, lms, crm, hub })
    }

    /// What the daily chain does, step by step.
    fn day(&self) {
        for syncs in [
            &["courses", "partners", "contacts"][..],
            &["users"],
            &["groups"],
            &["group_members"],
            &["enrolments"],
        ] {
            self.place.syncline(&[&["run", "--mode", "full"], syncs].concat()).with_code(0);
        }
        for statements in statements_of("syncline.yaml") {
            self.hub.execute(&statements);
        }
        self.place.syncline(&["run", "partner_counts"]).with_code(0);
    }

    fn counts(&self) -> Vec<String> {
        let rows = self.crm.query(
            "SELECT partner_no || ' ' || users || ' ' || certificates || ' ' || credits FROM partner_training ORDER BY 1",
        );
        rows.into_iter().flatten().flatten().collect()
    }
}

/// The statements of the steps `credits` and `counts`, as the example's chain has them.
fn statements_of(file: &str) -> Vec<String> {
    let text = read(file);
    let mut statements: Vec<String> = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(first) = line.trim().strip_prefix("- ") else { continue };
        let depth = line.len() - line.trim_start().len();
        if first.starts_with("DELETE") || first.starts_with("INSERT") {
            statements.push(first.to_owned());
        } else if first == ">-" {
            let mut statement = String::new();
            while let Some(next) = lines.next_if(|l| l.len() - l.trim_start().len() > depth) {
                statement.push_str(next.trim());
                statement.push(' ');
            }
            statements.push(statement);
        }
    }
    assert_eq!(statements.len(), 4, "two steps of two statements: {statements:?}");
    statements
}

#[test]
fn partner_training_day_by_day() {
    let Some(training) = Training::new("days") else { return };
    training.place.syncline(&["check"]).with_code(0);
    training.day();
    // partner, users, certificates, credits; two people of partner 101 are in both of its groups
    assert_eq!(
        training.counts(),
        ["101 5 7 19.1", "102 2 2 4.0", "103 3 4 19.3", "104 1 0 0.0", "105 2 3 5.8", "106 0 0 0.0"]
    );
    training.lms.execute(&read("lms/changes.sql"));
    training.day();
    assert_eq!(
        training.counts(),
        ["101 5 8 25.1", "102 1 1 2.0", "103 3 4 19.3", "104 2 1 2.0", "105 2 3 5.8", "106 0 0 0.0"]
    );
    let gone = training.hub.query("SELECT user_id FROM users WHERE NOT is_active AND deleted_at IS NOT NULL");
    assert_eq!(gone, [[Some("7".to_owned())]], "gone people stay, marked");
    training.lms.execute("INSERT INTO users VALUES (7, 'user7@learn.example', 'User 7', now())");
    training.place.syncline(&["run", "users"]).with_code(0);
    let gone = training.hub.query("SELECT user_id FROM users WHERE NOT is_active");
    assert_eq!(gone, [] as [Vec<Option<String>>; 0], "who comes back is active again");
}

#[test]
fn partner_training_reports() {
    let Some(training) = Training::new("reports") else { return };
    training.day();
    let place = &training.place;
    let told = place.syncline(&["report", "managers"]).with_code(0).out;
    let messages: Vec<&str> =
        told.lines().filter(|l| l.starts_with("To: ") || l.starts_with("Subject: ")).collect();
    assert_eq!(
        messages,
        [
            "To: ines@vendor.example",
            "Subject: Training of your 3 partners: 4 certificates expire",
            "To: omar@vendor.example",
            "Subject: Training of your 3 partners: 0 certificates expire",
        ]
    );
    assert!(told.contains("Elm & Söhne\tSilver\t2\t3\t5.8"), "{told}");
    place.syncline(&["report", "executive", "--out", "out"]).with_code(0).saying("1 message in out");
    let html = std::fs::read_to_string(place.directory.path().join("out/executive-1.html")).unwrap();
    assert_eq!(html.matches("<svg ").count(), 2);
    assert!(html.contains("Cedar &lt;Cloud&gt; Ltd") && !html.contains("<Cloud>"), "data is escaped");
    // the file is written, and the mail server is not there
    place.syncline(&["report", "executive", "--send"]).with_code(1).saying("0 of 1 message sent");
    let files = std::fs::read_dir(place.directory.path().join("reports")).unwrap().count();
    assert_eq!(files, 1);
    place.syncline(&["report", "executiv"]).with_code(2).saying("executive");
}

#[test]
fn alerts_of_the_example() {
    let Some(mut training) = Training::new("alerts") else { return };
    let place = &mut training.place;
    place.syncline(&["alerts", "list"]).with_code(1).saying("nothing has run yet");
    place.syncline(&["run", "courses"]).with_code(0);
    place.syncline(&["alerts", "list"]).with_code(0).saying("no alerts");
    // who only looks into the store needs no addresses
    place.unset("SMTP_URL");
    place.syncline(&["alerts", "list"]).with_code(0).saying("no alerts");
    place.syncline(&["alerts", "test", "operations"]).with_code(2).saying("SMTP_URL");
    place.set("SMTP_URL", "smtp://127.0.0.1:1");
    let failed = place.syncline(&["alerts", "test", "operations"]).with_code(1);
    failed.saying("receiver \"operations\": the mail server cannot be reached");
    place.syncline(&["alerts", "test", "operation"]).with_code(2).saying("operations");
}
