//! A real browser, driven as its own developer tools do: one JSON message after the other through
//! two pipes, each ended by a NUL byte.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

/// A page is drawn in a second, even on a machine that does much else; a browser that says nothing
/// for so long has gone wrong.
const PATIENCE: Duration = Duration::from_secs(120);

/// Nothing that reaches out, and nothing that is kept.
const OPTIONS: &str = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
    --disable-background-networking --disable-component-update --disable-sync \
    --disable-dev-shm-usage --remote-debugging-pipe";

/// A browser with one page.
pub(crate) struct Browser {
    child: Child,
    stdin: ChildStdin,
    messages: Receiver<Value>,
    session: Option<String>,
    calls: u64,
    /// What the page did that it should not do.
    problems: Vec<String>,
    /// What was fetched.
    requests: Vec<String>,
    _profile: TempDir,
}

impl Browser {
    /// Starts the browser; `None` (and one line why) where there is none, unless it is required.
    pub(crate) fn start() -> Option<Self> {
        let profile = tempfile::tempdir().expect("folder");
        if Command::new("chromium").arg("--version").output().is_err() {
            let required = std::env::var_os("EBPF_REQUIRE_LIVE").is_some_and(|value| value == "1");
            assert!(!required, "chromium is not installed");
            eprintln!("not looked at in a browser: chromium is not installed");
            return None;
        }
        // The browser reads its third file and writes its fourth.
        let script = format!(
            "exec chromium {OPTIONS} --user-data-dir=\"$1\" 3<&0 4>&1 0</dev/null 1>/dev/null"
        );
        let mut child = Command::new("sh")
            .args(["-c", &script, "sh"])
            .arg(profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let stdin = child.stdin.take().expect("a pipe");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            let mut message = vec![];
            while stdout.read_until(0, &mut message).is_ok_and(|length| length > 0) {
                let text = message.strip_suffix(&[0]).unwrap_or(&message);
                if sender.send(serde_json::from_slice(text).expect("JSON")).is_err() {
                    break;
                }
                message.clear();
            }
        });
        let mut browser = Self {
            child,
            stdin,
            messages,
            session: None,
            calls: 0,
            problems: vec![],
            requests: vec![],
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let id = &target["targetId"];
        let attached =
            browser.call("Target.attachToTarget", json!({ "targetId": id, "flatten": true }));
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    /// Opens a file, and waits until it is drawn.
    pub(crate) fn open(&mut self, page: &Path) {
        let url = format!("file://{}", page.display());
        self.call("Page.navigate", json!({ "url": url }));
        while self.next()["method"] != "Page.loadEventFired" {}
        assert_eq!(self.eval("document.documentElement.dataset.ready"), "yes", "not drawn");
    }

    /// What a script in the page comes to.
    pub(crate) fn eval(&mut self, script: &str) -> Value {
        let arguments = json!({
            "expression": script, "returnByValue": true, "awaitPromise": true, "userGesture": true,
        });
        let mut result = self.call("Runtime.evaluate", arguments);
        assert!(result["exceptionDetails"].is_null(), "{script}: {result}");
        result["result"]["value"].take()
    }

    /// Presses a key.
    pub(crate) fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Enter" => (13, "\r"),
            "ArrowRight" => (39, ""),
            other => panic!("no such key: {other}"),
        };
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" { text } else { "" };
            let arguments = json!({
                "type": kind, "key": key, "code": key, "text": text, "windowsVirtualKeyCode": code,
            });
            self.call("Input.dispatchKeyEvent", arguments);
        }
    }

    /// Runs a command of the developer tools.
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        self.calls += 1;
        let id = self.calls;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        self.stdin.write_all(format!("{message}\0").as_bytes()).expect("the browser listens");
        loop {
            let mut answer = self.next();
            if answer["id"] == id {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].take();
            }
        }
    }

    /// What went wrong in the page, and what it asked for beside itself.
    pub(crate) fn problems(&mut self) -> Vec<String> {
        // Whatever happened before this has been told when it is answered.
        self.eval("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))");
        let fetched = self.requests.split_off(1.min(self.requests.len()));
        self.problems.drain(..).chain(fetched).collect()
    }

    fn next(&mut self) -> Value {
        let message = self.messages.recv_timeout(PATIENCE).expect("the browser answers");
        match message["method"].as_str() {
            Some("Runtime.exceptionThrown" | "Log.entryAdded" | "Runtime.consoleAPICalled") => {
                self.problems.push(message.to_string());
            }
            Some("Network.requestWillBeSent") => {
                let url = message["params"]["request"]["url"].as_str().unwrap_or_default();
                self.requests.push(url.to_owned());
            }
            _ => {}
        }
        message
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have gone by itself; nothing is left to be done then.
        let _ = self.stdin.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        while self.messages.recv_timeout(Duration::from_secs(10)).is_ok() {}
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
