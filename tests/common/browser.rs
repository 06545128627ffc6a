//! Pages in a browser, where there is one.

use std::path::PathBuf;
use std::process::Command;

/// A browser, if there is one.
pub fn chromium() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome", "chrome"];
    std::env::split_paths(&folders)
        .flat_map(|folder| names.map(|n| folder.join(n)))
        .find(|path| path.is_file())
}

/// The document after a page and a further script have run; `None`, and a word on it, without a browser.
pub fn browse(page: &str, script: &str) -> Option<String> {
    let Some(browser) = chromium() else {
        eprintln!("skipped: there is no Chromium on this machine");
        return None;
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("page.html");
    let script = format!("<script>{script}</script></body>");
    std::fs::write(&path, page.replace("</body>", &script)).unwrap();
    let result = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
        ])
        .arg(format!(
            "--user-data-dir={}",
            dir.path().join("profile").display()
        ))
        .args(["--virtual-time-budget=3000", "--dump-dom"])
        .arg(format!("file://{}", path.display()))
        .output()
        .unwrap();
    let dom = String::from_utf8(result.stdout).unwrap();
    assert!(
        dom.contains("</html>"),
        "{}",
        String::from_utf8_lossy(&result.stderr)
    );
    Some(dom)
}

/// The text of the element `out` that a script has added.
pub fn output(dom: &str) -> String {
    let start = dom
        .find("<pre id=\"out\">")
        .expect("the script came to its end")
        + 14;
    let end = start + dom[start..].find("</pre>").unwrap();
    let text = dom[start..end].replace("&lt;", "<").replace("&gt;", ">");
    text.replace("&nbsp;", "\u{a0}").replace("&amp;", "&")
}

/// What a page is told.
pub fn data(page: &str) -> serde_json::Value {
    let start = page.find("type=\"application/json\">").unwrap() + 24;
    let end = start + page[start..].find("</script>").unwrap();
    serde_json::from_str(&page[start..end]).unwrap()
}
