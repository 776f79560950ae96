//! A real Chromium, driven as a person uses it: elements are found by their role and accessible name, nothing else.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use thirtyfour::common::command::{Command as Wire, ExtensionCommand};
use thirtyfour::error::WebDriverErrorInner;
use thirtyfour::prelude::*;

/// How a person holds the page.
#[derive(Debug, Clone, Copy)]
pub struct Device {
    pub width: u32,
    pub height: u32,
    pub script: bool,
    pub dark: bool,
}

pub const DESKTOP: Device = Device { width: 1280, height: 900, script: true, dark: false };
pub const PHONE: Device = Device { width: 360, height: 740, script: true, dark: false };

impl Device {
    pub fn without_script(self) -> Self {
        Self { script: false, ..self }
    }
}

/// What takes more than one command to the browser. The page may be replaced between two of them, by itself or because the
/// next one arrives: then what was seen so far is of no page that ever was and nothing was pressed, and it begins anew.
async fn whole<T>(look: impl AsyncFn() -> WebDriverResult<T>) -> T {
    loop {
        match look().await {
            Err(error) if matches!(error.as_inner(), WebDriverErrorInner::StaleElementReference(_)) => {}
            seen => return seen.unwrap(),
        }
    }
}

/// A browser of its own, with its driver. Both end with it.
pub struct Chrome {
    pub driver: WebDriver,
    driver_process: Child,
    _profile: tempfile::TempDir,
}

impl Chrome {
    pub async fn start(device: Device) -> Self {
        let (driver_process, port) = start_driver();
        let profile = tempfile::tempdir().unwrap();
        let driver = WebDriver::new(format!("http://127.0.0.1:{port}"), capabilities(device, profile.path()))
            .await
            .expect("a Chromium session starts");
        driver.set_page_load_timeout(Duration::from_secs(60)).await.unwrap();
        if !device.script {
            let off = json!({ "cmd": "Emulation.setScriptExecutionDisabled", "params": { "value": true } });
            driver.handle().cmd(Wire::ExtensionCommand(Box::new(Tell(off)))).await.unwrap();
        }
        Self { driver, driver_process, _profile: profile }
    }

    /// A command to the browser's own protocol.
    pub async fn tell(&self, command: &str, parameters: Value) {
        let tell = json!({ "cmd": command, "params": parameters });
        self.driver.handle().cmd(Wire::ExtensionCommand(Box::new(Tell(tell)))).await.unwrap();
    }

    /// Pages opened from now on do nothing by the clock: what they show afresh, something else made them look at.
    pub async fn without_timers(&self) {
        let never = json!({ "source": "window.setInterval = () => 0;" });
        let tell = json!({ "cmd": "Page.addScriptToEvaluateOnNewDocument", "params": never });
        self.driver.handle().cmd(Wire::ExtensionCommand(Box::new(Tell(tell)))).await.unwrap();
    }

    /// A device of this browser's that keeps passkeys, knows its person and never asks twice.
    pub async fn add_authenticator(&self) {
        let device = json!({
            "protocol": "ctap2", "transport": "internal", "hasResidentKey": true, "hasUserVerification": true,
            "isUserVerified": true, "isUserConsenting": true,
        });
        self.driver.handle().cmd(Wire::ExtensionCommand(Box::new(Add(device)))).await.unwrap();
    }

    pub async fn open(&self, url: &str) {
        self.driver.goto(url).await.unwrap_or_else(|error| panic!("{url} does not open: {error}"));
    }

    /// What is seen, as text.
    pub async fn text(&self) -> String {
        // Waits for the page that is on its way.
        whole(async || self.driver.query(By::Css("main")).first().await?.text().await).await
    }

    /// Waits until the page says `words`, and returns what it says.
    pub async fn read(&self, words: &str) -> String {
        let says = format!("//main[contains(normalize-space(.), \"{words}\")]");
        let told = whole(async || {
            let main = self.driver.query(By::XPath(&says)).wait(Duration::from_secs(30), Duration::from_millis(100));
            match main.first().await {
                Ok(main) => main.text().await.map(Some),
                Err(_) => Ok(None),
            }
        });
        match told.await {
            Some(told) => told,
            None => panic!("{} does not say {words:?}:\n{}", self.path().await, self.text().await),
        }
    }

    pub async fn path(&self) -> String {
        self.driver.current_url().await.unwrap().path().to_owned()
    }

    /// The only visible element of this role with this accessible name.
    pub async fn find(&self, role: &str, name: &str) -> WebElement {
        match self.list(role, name).await.as_slice() {
            [one] => one.clone(),
            found => panic!(
                "{} visible elements are a {role} called {name:?} on {}, not one:\n{}",
                found.len(),
                self.path().await,
                self.text().await
            ),
        }
    }

    pub async fn list(&self, role: &str, name: &str) -> Vec<WebElement> {
        let css = match role {
            "button" => "button, [role=button], input[type=submit]",
            "textbox" => "input, textarea",
            "checkbox" => "input[type=checkbox]",
            "radio" => "input[type=radio]",
            "link" => "a[href]",
            "heading" => "h1, h2, h3",
            other => panic!("no idea how to look for a {other}"),
        };
        whole(async || {
            let mut found = Vec::new();
            for element in self.driver.find_all(By::Css(css)).await? {
                if element.is_displayed().await? && self.computed(&element, "computedlabel").await? == name {
                    found.push(element);
                }
            }
            Ok(found)
        })
        .await
    }

    pub async fn click(&self, role: &str, name: &str) {
        whole(async || self.find(role, name).await.click().await).await;
    }

    pub async fn fill(&self, name: &str, text: &str) {
        whole(async || {
            let field = self.field(name).await;
            field.clear().await?;
            field.send_keys(text).await
        })
        .await;
    }

    /// What stands in a field.
    pub async fn typed(&self, name: &str) -> String {
        whole(async || self.field(name).await.prop("value").await).await.expect("a field has a value")
    }

    /// A form field by its accessible name. Password fields have no role, so the name alone counts.
    pub async fn field(&self, name: &str) -> WebElement {
        self.find("textbox", name).await
    }

    async fn computed(&self, element: &WebElement, what: &'static str) -> WebDriverResult<String> {
        let path = format!("/element/{}/{what}", element.element_id());
        let answer = element.handle().cmd(Wire::ExtensionCommand(Box::new(Look(path.into())))).await?;
        Ok(answer.value_json()?.as_str().unwrap_or_default().trim().to_owned())
    }

    /// Chooses the radio button of this name.
    pub async fn choose(&self, name: &str) {
        let found = self.list("radio", name).await;
        assert_eq!(found.len(), 1, "{} radio buttons are called {name:?}", found.len());
        found[0].click().await.unwrap();
    }

    /// The addresses of visible links that begin with `prefix`, as written, in the order of the page.
    pub async fn hrefs(&self, prefix: &str) -> Vec<String> {
        whole(async || {
            let mut found = Vec::new();
            for link in self.driver.find_all(By::Css(format!("main a[href^='{prefix}']"))).await? {
                let href = link.attr("href").await?.expect("it was found by its address");
                if link.is_displayed().await? && !found.contains(&href) {
                    found.push(href);
                }
            }
            Ok(found)
        })
        .await
    }

    /// Types into whatever has the focus.
    pub async fn press(&self, keys: &str) {
        self.driver.active_element().await.unwrap().send_keys(keys).await.unwrap();
    }

    /// Presses Tab until the focus is on the button of this name.
    pub async fn tab_to(&self, name: &str) {
        for _ in 0..40 {
            let focused = self.driver.active_element().await.unwrap();
            if self.computed(&focused, "computedlabel").await.unwrap() == name {
                return;
            }
            focused.send_keys("\u{e004}").await.unwrap();
        }
        panic!("{name:?} is not reached by Tab on {}", self.path().await);
    }

    /// How far the page is wider than the window, in CSS pixels.
    pub async fn overflow(&self) -> i64 {
        let body = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
        self.driver.execute(body, vec![]).await.unwrap().json().as_i64().unwrap()
    }

    pub async fn quit(self) {
        self.driver.clone().quit().await.unwrap();
    }
}

impl Drop for Chrome {
    fn drop(&mut self) {
        let _ = self.driver_process.kill();
        let _ = self.driver_process.wait();
    }
}

#[derive(Debug)]
struct Look(Arc<str>);

impl ExtensionCommand for Look {
    fn parameters_json(&self) -> Option<Value> {
        None
    }
    fn method(&self) -> reqwest::Method {
        reqwest::Method::GET
    }
    fn endpoint(&self) -> Arc<str> {
        self.0.clone()
    }
}

/// A command to the browser's own protocol.
#[derive(Debug)]
struct Tell(Value);

impl ExtensionCommand for Tell {
    fn parameters_json(&self) -> Option<Value> {
        Some(self.0.clone())
    }
    fn method(&self) -> reqwest::Method {
        reqwest::Method::POST
    }
    fn endpoint(&self) -> Arc<str> {
        "/goog/cdp/execute".into()
    }
}

/// A virtual authenticator, by the WebDriver extension of WebAuthn.
#[derive(Debug)]
struct Add(Value);

impl ExtensionCommand for Add {
    fn parameters_json(&self) -> Option<Value> {
        Some(self.0.clone())
    }
    fn method(&self) -> reqwest::Method {
        reqwest::Method::POST
    }
    fn endpoint(&self) -> Arc<str> {
        "/webauthn/authenticator".into()
    }
}

fn capabilities(device: Device, profile: &std::path::Path) -> Capabilities {
    let mut arguments: Vec<String> = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
    ]
    .map(str::to_owned)
    .to_vec();
    arguments.push(format!("--user-data-dir={}", profile.display()));
    arguments.push(format!("--window-size={},{}", device.width, device.height));
    if device.dark {
        arguments.push("--blink-settings=preferredColorScheme=0".to_owned());
    }
    let mut options = json!({ "args": arguments });
    if let Ok(browser) = std::env::var("COUNTERSIGN_TEST_BROWSER") {
        options["binary"] = json!(browser);
    }
    if device.width < 500 {
        // Chromium's own windows cannot be as narrow as a phone.
        options["mobileEmulation"] = json!({
            // The driver's click by touch waits for a page script that never runs where script is off.
            "deviceMetrics": {
                "width": device.width, "height": device.height, "pixelRatio": 2.0,
                "touch": device.script, "mobile": device.script,
            }
        });
    }
    let mut capabilities = Capabilities::new();
    capabilities.set("browserName", "chrome").unwrap();
    capabilities.set("goog:chromeOptions", options).unwrap();
    capabilities
}

/// A driver, and the port it listens on. It asks the system for a free port of the one address family and wants the same
/// number of the other, where somebody else may have it: then it ends, and the next one asks for another.
fn start_driver() -> (Child, u16) {
    let program = std::env::var("COUNTERSIGN_TEST_DRIVER").unwrap_or_else(|_| "chromedriver".into());
    for _ in 0..20 {
        let mut driver = Command::new(&program)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is installed (script/test installs it)");
        match port_of(&mut driver) {
            Ok(port) => return (driver, port),
            Err(said) if said.contains("port not available") => drop(driver.wait()),
            Err(said) => panic!("chromedriver does not say its port:\n{said}"),
        }
    }
    panic!("chromedriver finds no port that is free on both address families");
}

/// The driver says on which port it listens. If not, what it said instead.
fn port_of(driver: &mut Child) -> Result<u16, String> {
    let output = BufReader::new(driver.stdout.take().expect("its output is piped"));
    let mut lines = output.lines().map_while(Result::ok);
    let mut said = String::new();
    while let Some(line) = lines.next() {
        let port = line.split("started successfully on port ").nth(1);
        if let Some(port) = port.and_then(|port| port.trim_end_matches('.').parse().ok()) {
            // It keeps printing; nobody listening must not stop it.
            std::thread::spawn(move || lines.for_each(drop));
            return Ok(port);
        }
        said.push_str(&line);
        said.push('\n');
    }
    Err(said)
}
