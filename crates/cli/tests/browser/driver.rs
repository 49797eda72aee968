//! A real browser: Debian's chromium, driven over WebDriver by its own chromedriver.
//!
//! Each browser has a profile of its own, in a directory that goes with it. Both processes are in a group that is killed
//! at the end, also of a test that fails.

use std::{
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    time::Duration,
};

use fantoccini::{Client, ClientBuilder, Locator, elements::Element, error::CmdError, wd};
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest::{Method, Url};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::kit::until;

/// Nothing of the machine's own, nothing over the network that a page did not ask for.
const ARGUMENTS: &[&str] = &[
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-breakpad",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
    "--lang=en",
];
/// How long a page may take to load.
const LOAD: Duration = Duration::from_secs(30);

/// A browser with one window.
pub(crate) struct Browser {
    client: Client,
    runtime: Runtime,
    driver: Child,
    /// Scheme, host and port of the service it looks at: nothing else may be asked.
    base: String,
    _home: TempDir,
}

/// A colour scheme that a reader prefers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Light,
    Dark,
}

impl Scheme {
    pub(crate) const BOTH: [Self; 2] = [Self::Light, Self::Dark];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

impl Browser {
    /// Starts one that looks at the service at `base`.
    pub(crate) fn start(base: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").env("HOME", home.path()).env("TMPDIR", home.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut driver = command
            .spawn()
            .expect("there is no chromedriver here: `make test` installs it, or `scripts/setup chromium`");
        let port = port(&mut driver);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut arguments: Vec<String> = ARGUMENTS.iter().map(|&argument| argument.to_owned()).collect();
        arguments.push(format!("--user-data-dir={}", home.path().join("profile").display()));
        let capabilities = json!({
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
            "timeouts": { "pageLoad": LOAD.as_millis(), "script": 60_000 },
        });
        let Json::Object(capabilities) = capabilities else { unreachable!("it is an object") };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let connected = builder.capabilities(capabilities.into_iter().collect());
        let client = runtime.block_on(connected.connect(&format!("http://127.0.0.1:{port}"))).unwrap();
        Self { client, runtime, driver, base: base.to_owned(), _home: home }
    }

    fn wait<T>(&self, what: impl Future<Output = Result<T, CmdError>>) -> T {
        self.runtime.block_on(what).unwrap()
    }

    /// Loads a page of the service and waits until it has loaded.
    pub(crate) fn open(&self, path: &str) {
        self.wait(self.client.goto(&format!("{}{path}", self.base)));
    }

    /// Loads the page again.
    pub(crate) fn reload(&self) {
        self.wait(self.client.refresh());
    }

    /// Path and query of the page that is shown.
    pub(crate) fn path(&self) -> String {
        let url = self.wait(self.client.current_url());
        url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
    }

    /// The first element, as soon as it is there.
    #[track_caller]
    pub(crate) fn find(&self, css: &str) -> Element {
        self.runtime
            .block_on(self.client.wait().at_most(LOAD).for_element(Locator::Css(css)))
            .unwrap_or_else(|error| panic!("{css} on {}: {error}\n{}", self.path(), self.text("body")))
    }

    /// How many elements there are.
    pub(crate) fn count(&self, css: &str) -> usize {
        self.wait(self.client.find_all(Locator::Css(css))).len()
    }

    /// What the first element shows to people.
    #[track_caller]
    pub(crate) fn text(&self, css: &str) -> String {
        let script = "const e = document.querySelector(arguments[0]); return e && e.innerText";
        let text = self.run(script, &[json!(css)]);
        text.as_str().unwrap_or_else(|| panic!("{css} is not on {}", self.path())).to_owned()
    }

    /// Waits until the page says this: after a form was sent, or by itself.
    #[track_caller]
    pub(crate) fn says(&self, words: &str) {
        until(&format!("the page says {words:?}"), || self.shown().contains(words));
    }

    /// What the page shows; nothing while there is none yet.
    fn shown(&self) -> String {
        let script = "return document.body ? document.body.innerText : ''";
        let text = self.runtime.block_on(self.client.execute(script, Vec::new()));
        text.ok().and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// Clicks the first element, and waits for the page that it leads to.
    #[track_caller]
    pub(crate) fn click(&self, css: &str) {
        self.wait(self.find(css).click());
    }

    /// Clicks the link or button with these words.
    #[track_caller]
    pub(crate) fn press(&self, words: &str) {
        let path = format!("//*[self::a or self::button][normalize-space()={words:?}]");
        let found =
            self.runtime.block_on(self.client.wait().at_most(LOAD).for_element(Locator::XPath(&path)));
        let found = found.unwrap_or_else(|error| {
            panic!("nothing to press says {words:?} on {}: {error}\n{}", self.path(), self.text("body"))
        });
        self.wait(found.click());
    }

    /// Puts text into a field in place of what it holds.
    #[track_caller]
    pub(crate) fn fill(&self, css: &str, text: &str) {
        let field = self.find(css);
        self.wait(field.clear());
        self.wait(field.send_keys(text));
    }

    /// Presses keys where the focus is.
    pub(crate) fn keys(&self, keys: &str) {
        let focused = self.wait(self.client.active_element());
        self.wait(focused.send_keys(keys));
    }

    /// Runs a script in the page, and gives what it returns.
    pub(crate) fn run(&self, script: &str, arguments: &[Json]) -> Json {
        self.wait(self.client.execute(script, arguments.to_vec()))
    }

    /// Runs a script that calls its last argument when it is done.
    pub(crate) fn run_async(&self, script: &str, arguments: &[Json]) -> Json {
        self.wait(self.client.execute_async(script, arguments.to_vec()))
    }

    /// What the window shows, as PNG.
    pub(crate) fn picture(&self) -> Vec<u8> {
        self.wait(self.client.screenshot())
    }

    /// Gives the page this size in CSS pixels.
    pub(crate) fn size(&self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// Says which colours the reader prefers.
    pub(crate) fn prefer(&self, scheme: Scheme) {
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme.as_str() });
        self.devtools("Emulation.setEmulatedMedia", &json!({ "features": [feature] }));
    }

    /// Lets pages run scripts, or not.
    pub(crate) fn scripts(&self, allowed: bool) {
        self.devtools("Emulation.setScriptExecutionDisabled", &json!({ "value": !allowed }));
    }

    fn devtools(&self, command: &str, parameters: &Json) -> Json {
        self.ask(Ask { path: "goog/cdp/execute", body: json!({ "cmd": command, "params": parameters }) })
    }

    fn ask(&self, ask: Ask) -> Json {
        self.wait(self.client.issue_cmd(ask))
    }

    /// What the console was told since it was asked last, warnings and errors only: faults of scripts, what the content
    /// security policy refused, what could not be loaded.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let entries = self.ask(Ask { path: "se/log", body: json!({ "type": "browser" }) });
        let of_note = |entry: &&Json| matches!(entry["level"].as_str(), Some("SEVERE" | "WARNING"));
        let all = entries.as_array().cloned().unwrap_or_default();
        all.iter()
            .filter(of_note)
            .map(|entry| entry["message"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// Addresses outside of the service that pages asked for since this was asked last.
    pub(crate) fn strangers(&self) -> Vec<String> {
        let entries = self.ask(Ask { path: "se/log", body: json!({ "type": "performance" }) });
        let mut found = Vec::new();
        for entry in entries.as_array().into_iter().flatten() {
            let Ok(entry) = serde_json::from_str::<Json>(entry["message"].as_str().unwrap_or_default())
            else {
                continue;
            };
            let message = &entry["message"];
            if message["method"] == "Network.requestWillBeSent" {
                let url = message["params"]["request"]["url"].as_str().unwrap_or_default();
                // the page that a new window shows is the browser's own
                let by = message["params"]["documentURL"].as_str().unwrap_or_default();
                let ours = url.starts_with(&format!("{}/", self.base)) || url.starts_with("data:");
                if !ours && !by.starts_with("chrome://") {
                    found.push(url.to_owned());
                }
            }
        }
        found
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.runtime.block_on(self.client.clone().close()).ok();
        let group = format!("-{}", self.driver.id());
        Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status().ok();
        self.driver.wait().ok();
    }
}

/// The port that chromedriver chose.
fn port(driver: &mut Child) -> u16 {
    let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    let said = lines.map_while(Result::ok).find_map(|line| {
        let (_, port) = line.split_once("started successfully on port ")?;
        port.trim_end_matches('.').parse().ok()
    });
    said.expect("chromedriver says where it listens")
}

/// What chromedriver understands and the standard does not have.
#[derive(Debug)]
struct Ask {
    path: &'static str,
    body: Json,
}

impl wd::WebDriverCompatibleCommand for Ask {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}
