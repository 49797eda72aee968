//! Traces and logs to an OpenTelemetry collector: one that only listens.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    sync::{Arc, Mutex},
    thread,
};

use super::kit::{Service, place, until_arrived};
use crate::kit::until;

/// Path and body of every request.
type Heard = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// Answers every request with 200; its threads end with the test's process.
fn listen() -> (String, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let heard = Heard::default();
    let hears = Arc::clone(&heard);
    #[expect(clippy::disallowed_methods, reason = "it ends with the process of the test")]
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let heard = Arc::clone(&hears);
            #[expect(clippy::disallowed_methods, reason = "it ends with the process of the test")]
            thread::spawn(move || {
                let mut reader = BufReader::new(stream);
                while let Some(request) = read(&mut reader) {
                    heard.lock().unwrap().push(request);
                    reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
                }
            });
        }
    });
    (url, heard)
}

fn read(reader: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        if header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((path, body))
}

#[test]
fn a_collector_gets_spans_and_logs_of_ours_and_nothing_else() {
    let (url, heard) = listen();
    let mut place = place(10);
    place.set("OTEL_EXPORTER_OTLP_ENDPOINT", &url);
    place.set("OTEL_SERVICE_NAME", "cache-of-the-test");
    let service = Service::start(&place, "one", &[]);
    until_arrived(&place, 10);
    until("a run has ended", || {
        super::kit::stored(&place, "SELECT count(*) FROM event WHERE kind = 'run.finished'") > Some(0)
    });
    service.stop();
    let heard = heard.lock().unwrap();
    for (path, word) in [("/v1/traces", "occurrence"), ("/v1/logs", "run 1 of sync \"projects\": succeeded")]
    {
        let bodies: Vec<_> = heard.iter().filter(|(p, _)| p == path).map(|(_, body)| text(body)).collect();
        assert!(bodies.iter().any(|body| body.contains(word)), "{path}: {word:?} is not in {bodies:?}");
        assert!(bodies.iter().all(|body| body.contains("cache-of-the-test")), "{path}: the service is named");
        for library in ["hyper", "reqwest", "rustls", "tokio_postgres"] {
            assert!(bodies.iter().all(|body| !body.contains(library)), "{path}: {library} is heard");
        }
    }
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}
