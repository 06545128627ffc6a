//! The page at `/`, used in a browser where there is one.

use super::server::{Server, folder};
use super::{predicted, without_path};
use crate::common::browser::chromium;
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A tab of a browser without a window, told what to do through two pipes in Chromium's DevTools protocol.
struct Tab {
    child: Child,
    to: File,
    from: BufReader<File>,
    session: Option<String>,
    sent: u64,
}

impl Tab {
    /// `None`, and a word on it, without a browser.
    fn open(folder: &Path, url: &str) -> Option<Self> {
        let Some(browser) = chromium() else {
            eprintln!("skipped: there is no Chromium on this machine");
            return None;
        };
        let (to, from) = (folder.join("to"), folder.join("from"));
        let made = Command::new("mkfifo").args([&to, &from]).status().unwrap();
        assert!(made.success());
        // The protocol is spoken on the descriptors 3 and 4.
        let child = Command::new("sh")
            .args(["-c", r#"exec "$0" "$@" 3<to 4>from"#])
            .arg(browser)
            .args(["--headless", "--no-sandbox", "--disable-gpu"])
            .args(["--disable-dev-shm-usage", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", folder.join("tab").display()))
            .current_dir(folder)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut tab = Self {
            child,
            to: OpenOptions::new().write(true).open(&to).unwrap(),
            from: BufReader::new(File::open(&from).unwrap()),
            session: None,
            sent: 0,
        };
        let target = tab.say("Target.createTarget", json!({"url": url}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = tab.say("Target.attachToTarget", attach);
        tab.session = Some(session["sessionId"].as_str().unwrap().into());
        Some(tab)
    }

    /// What a command of the protocol gives.
    fn say(&mut self, method: &str, params: Value) -> Value {
        self.sent += 1;
        let mut message = json!({"id": self.sent, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.to
            .write_all(format!("{message}\0").as_bytes())
            .unwrap();
        loop {
            let mut bytes = Vec::new();
            self.from.read_until(0, &mut bytes).unwrap();
            let end = bytes.pop();
            assert_eq!(end, Some(0), "the browser ended");
            let mut said: Value = serde_json::from_slice(&bytes).unwrap();
            if said["id"] == json!(self.sent) {
                assert!(said.get("error").is_none(), "{method}: {said}");
                return said["result"].take();
            }
        }
    }

    /// The value of an expression, which may be a promise.
    fn value(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let mut said = self.say("Runtime.evaluate", params);
        assert!(
            said.get("exceptionDetails").is_none(),
            "{expression}: {said}"
        );
        said["result"]["value"].take()
    }

    /// Waits until an expression is true.
    fn until(&mut self, expression: &str) {
        let waits = format!(
            "new Promise(done => {{
               const end = Date.now() + 60000;
               const later = () => Date.now() > end ? done(document.body.innerText) : setTimeout(look, 20);
               const look = () => ({expression}) ? done(true) : later();
               look();
             }})"
        );
        let said = self.value(&waits);
        assert_eq!(said, json!(true), "waited for {expression}");
    }

    fn choose(&mut self, file: &Path) {
        let document = self.say("DOM.getDocument", json!({}));
        let at = json!({"nodeId": document["root"]["nodeId"], "selector": "#file"});
        let node = self.say("DOM.querySelector", at);
        self.say(
            "DOM.setFileInputFiles",
            json!({"nodeId": node["nodeId"], "files": [file]}),
        );
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The page's line on the final class, of what `predict --json` prints.
fn class(line: &str) -> String {
    let said: Value = serde_json::from_str(&without_path(line)).unwrap();
    format!(
        "{} (class {}), {:.1}\u{a0}%",
        said["name"].as_str().unwrap(),
        said["class"],
        100.0 * said["prob"].as_f64().unwrap()
    )
}

const CLASS: &str = "at(\"result\").hidden ? null : at(\"class\").textContent";

#[test]
fn a_picture_that_is_chosen_dropped_or_pasted_is_predicted_and_explained() {
    let dir = folder();
    let path = dir.path();
    let models = ["--model", "a.safetensors", "--model", "b.safetensors"];
    let server = Server::start(path, &models);
    let Some(mut tab) = Tab::open(path, &format!("http://{}/", server.address)) else {
        return;
    };
    let photos = ["0.png", "1.png"];
    let [a, b] = ["a.safetensors", "b.safetensors"].map(|m| {
        let lines = predicted(path, m, &photos);
        lines.iter().map(|line| class(line)).collect::<Vec<_>>()
    });
    tab.until("document.readyState === \"complete\" && at(\"model\").options.length === 2");

    tab.choose(&path.join("0.png"));
    tab.until("!at(\"result\").hidden");
    assert_eq!(tab.value(CLASS), json!(a[0]));
    let heads = tab.value("document.querySelectorAll(\"#heads section\").length");
    let bars = "Array.from(at(\"heads\").children).every(head => head.querySelectorAll(\".said\").length === 1)";
    assert_eq!(
        tab.value(bars),
        json!(true),
        "a label of each head is marked"
    );
    assert!(heads.as_u64().unwrap() > 1);

    tab.value("at(\"explain\").click()");
    tab.until("!at(\"explain\").disabled");
    let seen = "Promise.all(Array.from(document.querySelectorAll(\"img.heat\")).map(i => i.decode())).then(all => all.length)";
    assert_eq!(tab.value(seen), heads, "a heat map a head");

    // The other model is asked about the same picture.
    tab.value("at(\"model\").value = \"b\"; at(\"model\").dispatchEvent(new Event(\"change\"))");
    tab.until(&format!("at(\"class\").textContent === {}", json!(b[0])));

    // The same file by other ways, and another one.
    let given =
        "const d = new DataTransfer(); d.items.add(last); at(\"class\").textContent = \"\";";
    for event in [
        "dispatchEvent(new DragEvent(\"drop\", {dataTransfer: d}))",
        "dispatchEvent(new ClipboardEvent(\"paste\", {clipboardData: d}))",
    ] {
        tab.value(&format!("(() => {{ {given} {event} }})()"));
        tab.until(&format!("at(\"class\").textContent === {}", json!(b[0])));
    }
    tab.choose(&path.join("1.png"));
    tab.until(&format!("at(\"class\").textContent === {}", json!(b[1])));

    // What is no picture is told as text, and the next one is answered.
    std::fs::write(path.join("<b>.png"), "no picture").unwrap();
    tab.choose(&path.join("<b>.png"));
    tab.until("!at(\"error\").hidden");
    let error = tab.value("at(\"error\").textContent");
    assert!(error.as_str().unwrap().contains("`no picture`"), "{error}");
    assert_eq!(tab.value("at(\"result\").hidden"), json!(true));
    tab.choose(&path.join("0.png"));
    tab.until("!at(\"result\").hidden && at(\"error\").hidden");

    for width in [1280, 400] {
        let size =
            json!({"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500});
        tab.say("Emulation.setDeviceMetricsOverride", size);
        let fits = "document.documentElement.scrollWidth <= innerWidth";
        assert_eq!(tab.value(fits), json!(true), "{width} wide");
    }
}
