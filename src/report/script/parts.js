// Scores of the final class and of the heads.
const short = (value, digits) => (value === undefined || value === null ? "–" : value.toFixed(digits === undefined ? 3 : digits));
const percent = (share) => (share < 0.0995 && share > 0 ? (100 * share).toFixed(1) : Math.round(100 * share)) + "\u00a0%";
const MATRIX = 32;

function button(text, className, run) {
  const b = make("button", className, text);
  b.type = "button";
  b.addEventListener("click", run);
  return b;
}

function figuresOf(list) {
  const box = make("div", "figures");
  for (const index of list) {
    const panel = make("div");
    panel.append(el("figure" + index).content.cloneNode(true));
    const figure = panel.querySelector("svg");
    panel.append(button("save as PNG", "link", () => savePng(figure)));
    box.append(panel);
  }
  return box;
}

// A figure that belongs to no run.
function figurePage() {
  el("title").textContent = data.title;
  el("page").append(figuresOf([0]));
}

// A figure as a PNG of twice its size, in the colours that it has on paper: those of its elements without the page's classes.
function pngOf(figure) {
  const copy = figure.cloneNode(true);
  for (const part of copy.querySelectorAll("[class]")) part.removeAttribute("class");
  const { width, height } = figure.viewBox.baseVal;
  const image = new Image();
  image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(new XMLSerializer().serializeToString(copy));
  return image.decode().then(() => {
    const canvas = make("canvas");
    [canvas.width, canvas.height] = [2 * width, 2 * height];
    const paper = canvas.getContext("2d");
    paper.fillStyle = "#fff";
    paper.fillRect(0, 0, canvas.width, canvas.height);
    paper.drawImage(image, 0, 0, canvas.width, canvas.height);
    return canvas.toDataURL("image/png");
  });
}

function savePng(figure) {
  pngOf(figure).then((url) => {
    const link = make("a");
    link.href = url;
    link.download = figure.getAttribute("aria-label") + ".png";
    link.click();
  });
}

// Of a photo the true and the predicted labels of a part: part 0 is the final class where there is one.
function labelsIn(run, part, photo) {
  if (part.kind === "class") return [photo.t === null ? [] : [photo.t], photo.c === null ? [] : [photo.c]];
  const head = photo.h[headIndex(run, part)];
  return [head.t || [], head.s];
}

const headIndex = (run, part) => run.parts.filter((p) => p.kind !== "class").indexOf(part);
const wrongIn = (run, part, photo) => {
  const [truth, said] = labelsIn(run, part, photo);
  if (part.kind === "several") return photo.h[headIndex(run, part)].t !== undefined && truth.join() !== said.join();
  return truth.length > 0 && truth[0] !== said[0];
};

// What is behind a count.
function behind(run, part, truth, said, count) {
  const photos = run.photos.filter((photo) => {
    const [t, s] = labelsIn(run, part, photo);
    return (truth === null || t[0] === truth) && (said === null || s[0] === said) && t.length > 0;
  });
  const name = (label) => part.labels[label];
  openDrawer(run, truth === said ? name(truth) + ", predicted right" : name(truth) + " taken for " + name(said), photos, count);
}

function confusion(run, part) {
  const box = make("div");
  if (!part.cells.length) return box;
  const sums = new Map();
  for (const [truth, , count] of part.cells) sums.set(truth, (sums.get(truth) || 0) + count);
  if (part.labels.length > MATRIX) {
    box.append(make("h3", "", "most often confused"));
    const wrong = part.cells.filter((c) => c[0] !== c[1]).sort((a, b) => b[2] - a[2]).slice(0, 40);
    const list = make("ol");
    for (const [truth, said, count] of wrong) {
      const item = make("li");
      item.append(button(part.labels[truth] + " taken for " + part.labels[said], "link", () => behind(run, part, truth, said, count)), " " + count);
      list.append(item);
    }
    box.append(wrong.length ? list : make("p", "lead", "no photo"));
    return box;
  }
  box.append(make("h3", "", "confusion: rows are true, columns predicted; a cell shows its photos"));
  const choice = make("div", "choice");
  const scroll = make("div", "scroll");
  const show = (shares) => {
    choice.replaceChildren();
    for (const [text, value] of [["photos", false], ["share of the row", true]]) {
      const b = button(text, "", () => show(value));
      b.setAttribute("aria-pressed", String(value === shares));
      choice.append(b);
    }
    scroll.replaceChildren(matrix(run, part, sums, shares));
  };
  show(false);
  box.append(choice, scroll);
  return box;
}

function matrix(run, part, sums, shares) {
  const table = make("table", "matrix");
  const counts = new Map(part.cells.map((c) => [c[0] + " " + c[1], c[2]]));
  const top = make("tr");
  top.append(make("td"));
  for (const label of part.labels) {
    const th = make("th", "said", label);
    th.scope = "col";
    th.title = label;
    top.append(th);
  }
  const head = make("thead");
  head.append(top);
  const body = make("tbody");
  part.labels.forEach((label, truth) => {
    const row = make("tr");
    const th = make("th", "", label);
    th.scope = "row";
    row.append(th);
    part.labels.forEach((other, said) => {
      const count = counts.get(truth + " " + said);
      const td = make("td", truth === said ? "right" : "");
      if (count) {
        const share = count / sums.get(truth);
        const b = button(shares ? percent(share) : String(count), "", () => behind(run, part, truth, said, count));
        b.style.setProperty("--p", share.toFixed(3));
        b.setAttribute("aria-label", label + " predicted as " + other + ": " + count + " photos, " + percent(share));
        td.append(b);
      } else {
        td.className += " zero";
        td.textContent = "·";
      }
      row.append(td);
    });
    body.append(row);
  });
  table.append(head, body);
  return table;
}

// A table whose columns sort it: titles, and rows of cells, each text or [value, text, is a share, what a click does].
function sortable(titles, rows) {
  const table = make("table");
  const head = make("tr");
  const body = make("tbody");
  const fill = (order) => {
    body.replaceChildren();
    for (const row of order) {
      const tr = make("tr");
      row.forEach((cell, place) => {
        const [value, text, share, click] = Array.isArray(cell) ? cell : [cell, cell];
        const td = make(place ? "td" : "th", share ? "share" : "");
        if (!place) td.scope = "row";
        if (share && value !== null) td.style.setProperty("--p", Math.max(0, Math.min(1, value)));
        if (click) td.append(button(text, "link", click));
        else td.textContent = text;
        tr.append(td);
      });
      body.append(tr);
    }
  };
  const value = (row, place) => (Array.isArray(row[place]) ? row[place][0] : row[place]);
  titles.forEach((title, place) => {
    const th = make("th");
    th.scope = "col";
    th.append(
      button(title, "sort", () => {
        const up = th.getAttribute("aria-sort") === "descending" || (place === 0 && !th.getAttribute("aria-sort"));
        for (const other of head.children) other.removeAttribute("aria-sort");
        th.setAttribute("aria-sort", up ? "ascending" : "descending");
        const by = (a, b) => {
          const [x, y] = [value(a, place), value(b, place)];
          if (x === null || y === null) return (x === null) - (y === null);
          return (x < y ? -1 : x > y ? 1 : 0) * (up ? 1 : -1);
        };
        fill(rows.slice().sort(by));
      })
    );
    head.append(th);
  });
  const top = make("thead");
  top.append(head);
  table.append(top, body);
  fill(rows);
  const scroll = make("div", "scroll");
  scroll.append(table);
  return scroll;
}

function perLabel(run, part) {
  const several = part.kind === "several";
  const titles = ["label", "photos", "predicted", "precision", "recall", "F1", "ROC AUC", "average precision"];
  if (several) titles.push("missed", "said wrongly");
  const known = (v) => (v === null || v === undefined ? null : v);
  const rows = part.rows.map((row, label) => {
    const share = (v) => (row.support ? [known(v), short(v), true] : [null, "–"]);
    const cells = [row.label, [row.support, String(row.support)], [row.predicted, String(row.predicted)], share(row.precision), share(row.recall), share(row.f1)];
    cells.push([known(row.roc_auc), short(row.roc_auc)], [known(row.average_precision), short(row.average_precision)]);
    if (several) {
      const hits = Math.round(row.recall * row.support);
      const photos = (has) => run.photos.filter((p) => {
        const [truth, said] = labelsIn(run, part, p);
        return p.h[headIndex(run, part)].t !== undefined && truth.includes(label) === has && said.includes(label) !== has;
      });
      const cell = (count, has, text) => [count, String(count), false, count ? () => openDrawer(run, row.label + ", " + text, photos(has), count) : undefined];
      cells.push(cell(row.support - hits, true, "missed"), cell(row.predicted - hits, false, "said wrongly"));
    }
    return cells;
  });
  return sortable(titles, rows);
}

const WORDS = { class: "final class", labels: "one label a photo", ordered: "labels in order", number: "a number", several: "several labels at once" };

function partPage(run, part) {
  const box = make("div");
  const text = WORDS[part.kind] + ", " + part.photos + " photos whose truth is known";
  box.append(make("p", "lead", part.photos ? text : "nothing was measured: no photo has a label that is known"));
  if (!part.photos) return box;
  const tiles = make("div", "tiles");
  const names = { number_mae: "mean absolute error", number_r2: "R²", number_coverage: "inside the interval of 90 %" };
  for (const [name, value] of part.metrics) {
    const tile = make("div", "tile");
    tile.append(make("b", "", short(value)), make("span", "", names[name] || name.replaceAll("_", " ")));
    tiles.append(tile);
  }
  box.append(tiles, confusion(run, part), make("h3", "", "each label"), perLabel(run, part));
  if (part.figures.length) box.append(make("h3", "", part.kind === "number" ? "honesty and numbers" : "are the probabilities honest?"), figuresOf(part.figures));
  return box;
}
