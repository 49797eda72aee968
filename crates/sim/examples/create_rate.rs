//! How many items a second the simulator creates through `$batch`, on one thread of its own.
//!
//! The caller writes ready-made requests to raw sockets and reads answers by their length, so that its own work
//! counts for little: `cargo run --release -p syncline-sim --example create_rate`.

#![expect(clippy::print_stdout, reason = "a measurement prints its result")]
#![expect(clippy::disallowed_methods, reason = "real time is what it measures; the threads are joined")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use serde_json::{Map, Value, json};
use syncline_sim::{ListSpec, Options, Server};

const BATCHES: usize = 2_500;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (ready, started) = std::sync::mpsc::sync_channel(1);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let server = Server::start(Options::default()).await.expect("the simulator starts");
            let columns = [
                json!({ "name": "SynclineKey", "text": {}, "indexed": true, "enforceUniqueValues": true }),
                json!({ "name": "Amount", "number": {} }),
                json!({ "name": "Start", "dateTime": { "format": "dateOnly" } }),
                json!({ "name": "Status", "choice": { "choices": ["Active", "Closed"] } }),
            ];
            let spec = ListSpec {
                display_name: "Projects".into(),
                columns: columns.to_vec(),
                ..ListSpec::default()
            };
            server.world().add_list(&spec).expect("a list");
            ready.send(server.url()).expect("the caller waits");
            stopped.await.ok();
            println!("{} items", server.world().item_count("Projects").expect("a list"));
            server.stop().await;
        });
    });
    let url = started.recv()?;
    let address = url.trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&address)?;
    stream.set_nodelay(true)?;
    let form = "grant_type=client_credentials&client_id=11111111-2222-4333-8444-555555555502\
                &client_secret=simulated-secret&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default";
    let token = exchange(&mut stream, "/contoso.onmicrosoft.com/oauth2/v2.0/token", "", form.as_bytes())?;
    let token: Map<String, Value> = serde_json::from_slice(&token)?;
    let bearer = format!("Authorization: Bearer {}\r\n", token["access_token"].as_str().unwrap_or(""));

    let bodies: Vec<Vec<u8>> = (0..BATCHES).map(batch).collect();
    let begun = Instant::now();
    let mut answered = 0;
    for body in &bodies {
        answered += exchange(&mut stream, "/v1.0/$batch", &bearer, body)?.len();
    }
    let seconds = begun.elapsed().as_secs_f64();
    let items = BATCHES * 20;
    println!("{items} creates in {seconds:.2} s: {:.0}/s, {answered} bytes", items as f64 / seconds);
    stop.send(()).ok();
    server.join().map_err(|_| "the server thread failed")?;
    Ok(())
}

fn batch(number: usize) -> Vec<u8> {
    let requests = (0..20).map(|part| {
        let n = number * 20 + part;
        json!({
            "id": part.to_string(), "method": "POST",
            "url": "/sites/contoso.sharepoint.com:/sites/projects:/lists/Projects/items",
            "headers": { "Content-Type": "application/json" },
            "body": { "fields": {
                "Title": format!("PRJ-{n:06}"), "SynclineKey": format!("{n:064}"), "Amount": n as f64 * 1.25,
                "Start": "2026-01-31", "Status": "Active",
            } },
        })
    });
    json!({ "requests": requests.collect::<Vec<_>>() }).to_string().into_bytes()
}

fn exchange(stream: &mut TcpStream, path: &str, headers: &str, body: &[u8]) -> std::io::Result<Vec<u8>> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: sim\r\n{headers}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let mut answer = Vec::new();
    let mut piece = [0; 65_536];
    loop {
        let read = stream.read(&mut piece)?;
        answer.extend_from_slice(&piece[..read]);
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
        let Some(end) = end else { continue };
        let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        if answer.len() >= end + 4 + length {
            return Ok(answer.split_off(end + 4));
        }
    }
}
