//! A real browser, told what to do through a pipe in Chromium's own protocol:
//! <https://chromedevtools.github.io/devtools-protocol>

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::{Home, skip};

const NAMES: [&str; 3] = ["chromium-headless-shell", "chromium", "google-chrome"];

/// A page that is open.
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: String,
    next: u64,
}

impl Browser {
    /// A page from a file, once it has drawn. None where no Chromium is installed: then the
    /// test says so.
    pub fn open(test: &str, home: &Home, file: &str) -> Option<Self> {
        let mut browser = Self::start(test, home, "MAP * ~NOTFOUND")?;
        browser.tab(&format!("file://{file}"));
        browser.until("document.body && document.body.dataset.ready > 0");
        Some(browser)
    }

    /// Without a page. `hosts`: how names of hosts are resolved.
    pub fn start(test: &str, home: &Home, hosts: &str) -> Option<Self> {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut names = NAMES.iter().filter(|name| {
            let mut dirs = path.split(':');
            dirs.any(|dir| std::path::Path::new(dir).join(name).is_file())
        });
        let Some(name) = names.next() else {
            skip(test, "no Chromium: `scripts/setup` installs it");
            return None;
        };
        // It speaks on descriptors 3 and 4; nothing goes to the network.
        let script = "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1";
        let mut child = Command::new("sh")
            .args(["-c", script, "sh", name, "--headless", "--no-sandbox"])
            .args(["--remote-debugging-pipe", "--disable-gpu", "--no-first-run"])
            .args(["--disable-dev-shm-usage", "--disable-background-networking"])
            .arg("--window-size=1200,700")
            .arg(format!("--host-resolver-rules={hosts}"))
            .arg(format!("--user-data-dir={}", home.path("browser")))
            .env("HOME", &home.root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Some(Self {
            to: child.stdin.take().unwrap(),
            from: BufReader::new(child.stdout.take().unwrap()),
            child,
            session: String::new(),
            next: 0,
        })
    }

    /// Opens a page beside the others, which stay open; what follows is about this one.
    pub fn tab(&mut self, url: &str) {
        self.session.clear();
        let target = self.ask("Target.createTarget", &json!({"url": url}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = self.ask("Target.attachToTarget", &attach);
        let session = attached["sessionId"].as_str();
        session.unwrap().clone_into(&mut self.session);
    }

    fn ask(&mut self, method: &str, params: &Value) -> Value {
        let answer = self.try_ask(method, params);
        answer.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    fn try_ask(&mut self, method: &str, params: &Value) -> Result<Value, Value> {
        self.next += 1;
        let mut message = json!({"id": self.next, "method": method, "params": params});
        if !self.session.is_empty() {
            message["sessionId"] = self.session.clone().into();
        }
        let text = message.to_string();
        self.to.write_all(text.as_bytes()).unwrap();
        self.to.write_all(&[0]).unwrap();
        // Events come between; the answer has our number.
        loop {
            let mut bytes = Vec::new();
            let read = self.from.read_until(0, &mut bytes).unwrap();
            assert!(read > 0, "the browser ended during {method}");
            bytes.pop();
            let mut answer: Value = serde_json::from_slice(&bytes).unwrap();
            if answer["id"] == self.next {
                return match answer["error"].take() {
                    Value::Null => Ok(answer["result"].take()),
                    error => Err(error),
                };
            }
        }
    }

    /// The value of an expression in the page.
    pub fn eval(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let mut answer = self.ask("Runtime.evaluate", &params);
        assert!(
            answer["exceptionDetails"].is_null(),
            "{expression}: {}",
            answer["exceptionDetails"]
        );
        answer["result"]["value"].take()
    }

    pub fn text(&mut self, expression: &str) -> String {
        let value = self.eval(expression);
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    }

    /// Wait until an expression is true. While the browser goes from one page to the next,
    /// there is none to ask.
    pub fn until(&mut self, expression: &str) {
        let params = json!({"expression": format!("Boolean({expression})"), "returnByValue": true});
        let seen = crate::common::within(std::time::Duration::from_mins(1), || {
            let answer = self.try_ask("Runtime.evaluate", &params);
            answer.is_ok_and(|answer| answer["result"]["value"] == true)
        });
        assert!(seen, "never true: {expression}");
    }

    /// A real click.
    pub fn click(&mut self, x: f64, y: f64, shift: bool) {
        for kind in ["mousePressed", "mouseReleased"] {
            let params = json!({
                "type": kind, "x": x, "y": y, "button": "left", "clickCount": 1,
                "modifiers": if shift { 8 } else { 0 },
            });
            self.ask("Input.dispatchMouseEvent", &params);
        }
    }

    pub fn hover(&mut self, x: f64, y: f64) {
        let params = json!({"type": "mouseMoved", "x": x, "y": y});
        self.ask("Input.dispatchMouseEvent", &params);
    }

    /// Real keys, one after the other.
    pub fn keys(&mut self, text: &str) {
        for key in text.chars().map(String::from) {
            let params = json!({"type": "keyDown", "key": key, "text": key});
            self.ask("Input.dispatchKeyEvent", &params);
            let params = json!({"type": "keyUp", "key": key});
            self.ask("Input.dispatchKeyEvent", &params);
        }
    }

    /// A key with a name.
    pub fn press(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            self.ask("Input.dispatchKeyEvent", &json!({"type": kind, "key": key}));
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
