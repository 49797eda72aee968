//! How much processor time the `sharepoint` destination takes per item it creates, looks up and lists, against a
//! simulator on a thread of its own: `cargo run --release -p syncline-connect --example sharepoint_rate`.

#![expect(clippy::print_stdout, reason = "a measurement prints its result")]
#![expect(clippy::disallowed_methods, reason = "real time is what it measures; the thread is joined")]

use std::{error::Error, sync::Arc, time::Instant};

use futures::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use syncline_connect::{
    Destination,
    budget::Budgets,
    clock::SystemClock,
    destination::{Operation, OperationKind},
    registry::{Connector as _, Context},
    sharepoint::{BATCH_MAX, Connector},
};
use syncline_core::{
    connection::Connection,
    identity::Identity,
    schema::{Field, Stream},
    value::Value,
};
use syncline_sim::{ListSpec, Options, Server};

const ITEMS: usize = 50_000;

/// Requests in flight.
const CONCURRENCY: usize = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let (ready, started) = std::sync::mpsc::sync_channel(1);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let server = Server::start(Options::default()).await.expect("the simulator starts");
            server.world().add_list(&list()).expect("a list");
            ready.send(server.url()).expect("the client waits");
            stopped.await.ok();
            server.stop().await;
        });
    });
    let url = started.recv()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure(&url))?;
    stop.send(()).ok();
    server.join().map_err(|_| "the simulator failed")?;
    Ok(())
}

fn list() -> ListSpec {
    let columns = vec![
        json!({ "name": "BudgetAmount", "number": {} }),
        json!({ "name": "StartDate", "dateTime": { "format": "dateOnly" } }),
        json!({ "name": "Status", "choice": { "choices": ["Active", "Closed"] } }),
        json!({ "name": "Owner", "text": {} }),
        json!({ "name": "IsOpen", "boolean": {} }),
    ];
    ListSpec { display_name: "Projects".into(), columns, ..ListSpec::default() }
}

async fn connect(url: &str) -> Result<Arc<dyn Destination>, syncline_connect::Error> {
    let defaults = Options::default();
    let options = json!({
        "site": "contoso.sharepoint.com:/sites/projects", "authority": url, "graph": url,
        "auth": { "type": "client_credentials", "tenant": defaults.tenant, "client_id": defaults.client_id,
                  "client_secret": defaults.client_secret },
        "limits": { "unlimited": true },
    });
    let clock = Arc::new(SystemClock::new());
    let budgets = Arc::new(Budgets::new(clock.clone()));
    let context = Context { clock, budgets, seed: 1, directory: ".".into(), caller: Default::default() };
    let connection = Connection { name: "rate".into(), kind: "sharepoint".into(), options };
    Connector::default().destination(&connection, &context).await
}

async fn measure(url: &str) -> Result<(), Box<dyn Error>> {
    let destination = connect(url).await?;
    let stream = destination.describe("Projects").await?;
    destination.prepare(&stream).await?;
    let stream = destination.describe("Projects").await?;
    let names = ["Title", "BudgetAmount", "StartDate", "Status", "Owner", "IsOpen"];
    let fields: Vec<Field> = names.iter().filter_map(|n| stream.field(n).cloned()).collect();
    let batches: Vec<Vec<Operation>> =
        (0..ITEMS / BATCH_MAX).map(|b| (b * BATCH_MAX..(b + 1) * BATCH_MAX).map(create).collect()).collect();

    let meter = Meter::start()?;
    let writes = batches.iter().map(|b| write(&*destination, &stream, &fields, b));
    stream::iter(writes).buffer_unordered(CONCURRENCY).try_collect::<Vec<()>>().await?;
    meter.report("created")?;

    let meter = Meter::start()?;
    let identities = |b: &Vec<Operation>| b.iter().map(|o| o.identity).collect::<Vec<_>>();
    let lookups = batches.iter().map(|b| {
        let identities = identities(b);
        let (destination, stream, fields) = (&destination, &stream, &fields);
        async move { destination.lookup(stream, fields, &identities).await.map(|_| ()) }
    });
    stream::iter(lookups).buffer_unordered(CONCURRENCY).try_collect::<Vec<()>>().await?;
    meter.report("looked up")?;

    let meter = Meter::start()?;
    let mut lister = destination.list(&stream, &fields).await?;
    while lister.next().await?.is_some() {}
    meter.report("listed")?;
    Ok(())
}

fn create(n: usize) -> Operation {
    let text = |t: String| Value::Text(t.into());
    Operation {
        kind: OperationKind::Create,
        identity: Identity::of(&[Value::Int64(n as i64)], false).expect("a key without nulls"),
        values: vec![
            (0, text(format!("PRJ-{n:06}"))),
            (1, Value::Decimal(format!("{n}.25").into())),
            (2, Value::Date(20_000 + (n % 1_000) as i32)),
            (3, text("Active".into())),
            (4, text(format!("owner{n}@example.com"))),
            (5, Value::Boolean(n.is_multiple_of(2))),
        ],
    }
}

async fn write(
    destination: &dyn Destination,
    stream: &Stream,
    fields: &[Field],
    operations: &[Operation],
) -> Result<(), syncline_connect::Error> {
    destination.write(stream, fields, operations).await.into_iter().try_for_each(|answer| answer.map(|_| ()))
}

/// Time of the clock and of this thread's processor.
struct Meter {
    start: Instant,
    cpu: u64,
}

impl Meter {
    fn start() -> Result<Self, Box<dyn Error>> {
        Ok(Self { start: Instant::now(), cpu: cpu_nanos()? })
    }

    fn report(self, what: &str) -> Result<(), Box<dyn Error>> {
        let seconds = self.start.elapsed().as_secs_f64();
        let micros = (cpu_nanos()? - self.cpu) as f64 / 1_000.0 / ITEMS as f64;
        println!(
            "{what:>10}: {:>7.0} items/s, {micros:>5.1} µs of client processor time per item",
            ITEMS as f64 / seconds
        );
        Ok(())
    }
}

/// Nanoseconds this thread has run (Linux).
fn cpu_nanos() -> Result<u64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(stat.split(' ').next().unwrap_or_default().parse()?)
}
