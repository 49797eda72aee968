//! Serves a simulator until its input ends: `cargo run -p syncline-sim --example serve -- '{"listen":"127.0.0.1:8080"}'`.
//! The argument is [`syncline_sim::Options`] as JSON.

#![expect(clippy::print_stdout, reason = "the address is what callers read from it")]

use syncline_sim::{Options, Server};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options: Options = match std::env::args().nth(1) {
        Some(json) => serde_json::from_str(&json)?,
        None => Options::default(),
    };
    let server = Server::start(options).await?;
    println!("{}", server.url());
    if let Some(pem) = server.ca_pem() {
        println!("{pem}");
    }
    // Standard input is read on a thread of its own, so that the server goes on meanwhile.
    let (closed, ended) = tokio::sync::oneshot::channel::<()>();
    #[expect(clippy::disallowed_methods, reason = "the process ends with the thread")]
    std::thread::spawn(move || {
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).ok();
        drop(closed);
    });
    ended.await.ok();
    server.stop().await;
    Ok(())
}
