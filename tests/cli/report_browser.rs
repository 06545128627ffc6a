//! The page of a run, clicked through in a browser where there is one.

use super::report::{EVIL, LABEL, page, prepared, train};
use super::works;
use crate::common::browser::{browse, output};

/// Clicks through the page of a run, and writes down what it shows.
const CLICKS: &str = r##"
const said = [];
const shots = (box) => Array.from(box.querySelectorAll(".shot"));
const cells = Array.from(document.querySelectorAll("table.matrix button"));
let agree = cells.length > 0;
for (const cell of cells) {
  cell.click();
  agree = agree && el("drawer").open && shots(el("drawer-body")).length === Number(cell.textContent);
  el("drawer").close();
}
said.push("cells " + agree);
const parts = Array.from(document.querySelectorAll("#scores > .choice button"));
said.push("parts " + parts.map((b) => b.textContent).join(" "));
const column = (place) => Array.from(document.querySelectorAll("#scores table:not(.matrix) tbody tr")).map((row) => row.children[place].textContent);
const sort = (place) => document.querySelectorAll("#scores table:not(.matrix) thead button")[place].click();
parts[1].click();
sort(1);
const down = column(1).map(Number);
sort(1);
const up = column(1).map(Number);
said.push("sorted " + (down.join() === down.slice().sort((a, b) => b - a).join() && up.join() === down.slice().reverse().join()));
sort(0);
said.push("names " + (column(0).join() === column(0).slice().sort().join()));
const share = Array.from(document.querySelectorAll("#scores .choice button")).find((b) => b.textContent === "share of the row");
share.click();
said.push("shares " + Array.from(document.querySelectorAll("table.matrix button")).every((b) => b.textContent.endsWith("%")));
parts[3].click();
const missed = Array.from(document.querySelectorAll("#scores td button.link"));
said.push("tags " + missed.every((b) => {
  b.click();
  const fits = shots(el("drawer-body")).length === Number(b.textContent);
  el("drawer").close();
  return fits;
}));
const run = data.runs[0];
const [show, order] = document.querySelectorAll("#photos select");
const choose = (control, value) => {
  control.value = value;
  control.dispatchEvent(new Event("change"));
};
choose(show, "all");
choose(order, "name");
const more = () => document.querySelector("#photos .more button");
while (more()) more().click();
said.push("all " + (shots(el("photos")).length === run.photos.length));
choose(show, "class");
said.push("wrong " + (shots(el("photos")).length === run.photos.filter((p) => p.t !== null && p.t !== p.c).length));
const find = document.querySelector("#photos input");
choose(show, "all");
find.value = "<img src=x";
find.dispatchEvent(new Event("input"));
said.push("found " + shots(el("photos")).length + " " + el("photos").textContent.includes("onerror="));
document.querySelector("#persons .row button").click();
said.push("person " + (el("drawer").open && shots(el("drawer-body")).length === 1));
el("drawer").close();
const link = document.querySelector("#errors button.link");
if (link) {
  link.click();
  said.push("errors " + (shots(el("drawer-body")).length === Number(link.textContent)));
  el("drawer").close();
} else said.push("errors true");
const before = document.documentElement.dataset.theme;
el("theme").click();
said.push("theme " + (document.documentElement.dataset.theme !== before));
const wide = document.documentElement.scrollWidth <= window.innerWidth;
said.push("wide " + wide);
const pre = document.createElement("pre");
pre.id = "out";
pre.textContent = said.join("\n");
document.body.append(pre);
pngOf(document.querySelector("#curves svg")).then((url) => {
  const size = atob(url.split(",")[1].slice(0, 32)).slice(16, 24);
  const side = (from) => Array.from(size.slice(from, from + 4)).reduce((n, c) => 256 * n + c.charCodeAt(0), 0);
  const { width, height } = document.querySelector("#curves svg").viewBox.baseVal;
  pre.textContent += "\npng " + (url.startsWith("data:image/png;") && side(0) === 2 * width && side(4) === 2 * height && url.length > 8000);
});
"##;

/// Goes from two runs side by side to each of them and back.
const COMPARED: &str = r##"
const said = [el("title").textContent];
const buttons = () => Array.from(el("runs").querySelectorAll("button"));
said.push(buttons().map((b) => b.textContent + (b.getAttribute("aria-pressed") === "true" ? "*" : "")).join(" "));
said.push("settings " + el("settings").textContent.includes("train.mix_up"));
said.push("intervals " + el("differences").textContent.includes("not distinguishable"));
const counts = Array.from(document.querySelectorAll("#disagreement tbody tr")).map((row) => Number(row.children[1].textContent));
said.push("photos " + (counts.reduce((a, b) => a + b, 0) === data.runs[0].photos.length));
buttons()[2].click();
said.push(el("title").textContent + " " + Boolean(el("curves")));
buttons()[0].click();
document.querySelector("#all-runs button.link").click();
said.push(el("title").textContent);
const pre = document.createElement("pre");
pre.id = "out";
pre.textContent = said.join("\n");
document.body.append(pre);
"##;

#[test]
fn a_page_of_a_run_can_be_clicked_through() {
    let (_dir, path) = prepared();
    train(&path, "run", &[]);
    let Some(dom) = browse(&page(&path.join("run/report.html")), CLICKS) else {
        return;
    };
    assert!(!dom.contains("<title>ran</title>"), "a name was run");
    assert!(
        dom.contains("&lt;img src=x onerror=") && EVIL.contains("<img"),
        "and is shown"
    );
    assert!(dom.contains("&lt;script&gt;document") && LABEL.contains("<script>"));
    let said = output(&dom);
    let expected = [
        "cells true",
        "parts final class mask age tags",
        "sorted true",
        "names true",
        "shares true",
        "tags true",
        "all true",
        "wrong true",
        "found 1 true",
        "person true",
        "errors true",
        "theme true",
        "wide true",
        "png true",
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn two_runs_can_be_looked_at_side_by_side_and_one_by_one() {
    let (_dir, path) = prepared();
    train(&path, "a", &["train.mix_up=0"]);
    train(&path, "b", &["train.mix_up=0.4"]);
    works(&path, &["report", "a", "b", "--out", "both.html"]);
    let Some(dom) = browse(&page(&path.join("both.html")), COMPARED) else {
        return;
    };
    let said = output(&dom);
    let expected = [
        "2 runs",
        "side by side* a b",
        "settings true",
        "intervals true",
        "photos true",
        "b true",
        "a",
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
}

/// Saves the figure of a page that has nothing else.
const SAVED: &str = r##"
const pre = document.createElement("pre");
pre.id = "out";
pre.textContent = el("title").textContent + "; " + Array.from(document.querySelectorAll("main button")).map((b) => b.textContent);
document.body.append(pre);
pngOf(document.querySelector("main svg")).then((url) => {
  pre.textContent += "; " + url.slice(0, 15);
});
"##;

#[test]
fn the_figure_of_a_search_can_be_saved_as_a_picture() {
    let (_dir, path) = prepared();
    let args = "train --data faces/all.csv --out lr --find-lr --set train.batch=16";
    works(&path, &args.split(' ').collect::<Vec<_>>());
    let Some(dom) = browse(&page(&path.join("lr/lr.html")), SAVED) else {
        return;
    };
    assert_eq!(
        output(&dom),
        "loss at growing learning rates; save as PNG; data:image/png;"
    );
    let svg = page(&path.join("lr/lr.svg"));
    assert!(svg.starts_with("<svg xmlns="), "{svg}");
}
