//! The log, on standard error. Only Syncline's own events are written: those of libraries may hold values and secrets.
//!
//! With the feature `otlp` the same events, and the spans around them, also go to an OpenTelemetry collector, where the
//! standard variables (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_SERVICE_NAME` …) name one.

use tracing_subscriber::{EnvFilter, Layer, Registry, layer::SubscriberExt, util::SubscriberInitExt};

use crate::args::{Cli, Command, LogFormat};

/// A layer of the log.
type Boxed = Box<dyn Layer<Registry> + Send + Sync>;

/// What has to be ended with the process.
pub(crate) struct Logging {
    #[cfg(feature = "otlp")]
    collector: Option<otlp::Collector>,
}

/// Begins to log. Warnings by default, and of a service what was done; `-v` adds what was done, `-vv` how, `-vvv`
/// everything.
pub(crate) fn start(cli: &Cli) -> Logging {
    let global = &cli.global;
    let serves = matches!(cli.command, Command::Serve(_));
    let level = match (global.quiet, global.verbose + u8::from(serves)) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, 2) => "debug",
        (false, _) => "trace",
    };
    let filter = || EnvFilter::builder().parse_lossy(format!("off,syncline={level}"));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines: Boxed = match global.log_format {
        LogFormat::Text => lines.with_target(false).with_ansi(false).with_filter(filter()).boxed(),
        // The innermost span holds every number that tells what a line is about.
        LogFormat::Json => {
            lines.json().flatten_event(true).with_span_list(false).with_filter(filter()).boxed()
        }
    };
    #[cfg(feature = "otlp")]
    let collector = otlp::Collector::of_environment();
    #[cfg(feature = "otlp")]
    let exported: Vec<Boxed> =
        collector.as_ref().map(|collector| collector.layers(filter)).unwrap_or_default();
    #[cfg(not(feature = "otlp"))]
    let exported: Vec<Boxed> = Vec::new();
    let layers: Vec<Boxed> = std::iter::once(lines).chain(exported).collect();
    // A logger that is there already would only mean that this function was called twice.
    tracing_subscriber::registry().with(layers).try_init().ok();
    Logging {
        #[cfg(feature = "otlp")]
        collector,
    }
}

impl Logging {
    /// Sends what has not been sent yet.
    #[cfg_attr(not(feature = "otlp"), expect(clippy::unused_self, reason = "there is nothing to send"))]
    pub(crate) fn end(self) {
        #[cfg(feature = "otlp")]
        if let Some(collector) = self.collector {
            collector.end();
        }
    }
}

#[cfg(feature = "otlp")]
mod otlp {
    //! Traces and logs to a collector, in batches, by threads of the exporter's own.

    use std::time::Duration;

    use opentelemetry::trace::TracerProvider;
    use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
    use opentelemetry_otlp::{LogExporter, SpanExporter};
    use opentelemetry_sdk::{Resource, logs::SdkLoggerProvider, trace::SdkTracerProvider};
    use tracing_subscriber::{EnvFilter, Layer};

    use super::Boxed;
    use crate::output;

    /// How long the end of the process waits for the collector.
    const LONGEST_END: Duration = Duration::from_secs(5);

    pub(super) struct Collector {
        traces: SdkTracerProvider,
        logs: SdkLoggerProvider,
    }

    impl Collector {
        /// The collector that the environment names. One that cannot be set up is said, and done without.
        pub(super) fn of_environment() -> Option<Self> {
            #[expect(clippy::disallowed_methods, reason = "the command line reads the environment")]
            let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
            let disabled =
                variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
            let named = ["", "TRACES_", "LOGS_"]
                .iter()
                .any(|of| variable(&format!("OTEL_EXPORTER_OTLP_{of}ENDPOINT")).is_some());
            if disabled || !named {
                return None;
            }
            let name = variable("OTEL_SERVICE_NAME").unwrap_or_else(|| "syncline".to_owned());
            let resource = Resource::builder().with_service_name(name).build();
            let spans = SpanExporter::builder().with_http().build();
            let logs = LogExporter::builder().with_http().build();
            match (spans, logs) {
                (Ok(spans), Ok(logs)) => Some(Self {
                    traces: SdkTracerProvider::builder()
                        .with_resource(resource.clone())
                        .with_batch_exporter(spans)
                        .build(),
                    logs: SdkLoggerProvider::builder()
                        .with_resource(resource)
                        .with_batch_exporter(logs)
                        .build(),
                }),
                (Err(error), _) | (_, Err(error)) => {
                    output::note(format!("nothing is sent to a collector: {error}"));
                    None
                }
            }
        }

        /// `filter` is that of the lines: what is not ours is not exported either.
        pub(super) fn layers(&self, filter: impl Fn() -> EnvFilter) -> Vec<Boxed> {
            let tracer = self.traces.tracer("syncline");
            let spans =
                tracing_opentelemetry::layer().with_tracer(tracer).with_location(false).with_threads(false);
            let events = OpenTelemetryTracingBridge::new(&self.logs);
            vec![spans.with_filter(filter()).boxed(), events.with_filter(filter()).boxed()]
        }

        pub(super) fn end(self) {
            let ended = [
                self.traces.shutdown_with_timeout(LONGEST_END),
                self.logs.shutdown_with_timeout(LONGEST_END),
            ];
            for error in ended.into_iter().filter_map(Result::err) {
                output::note(format!("the collector did not get everything: {error}"));
            }
        }
    }
}
