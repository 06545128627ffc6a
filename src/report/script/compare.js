// Several runs side by side.
function comparePage() {
  const box = make("div");
  const c = data.compare;
  const main = section(box, "all-runs", "Runs");
  const names = [];
  for (const run of data.runs) for (const part of run.parts) if (!names.includes(part.name)) names.push(part.name);
  const rows = data.runs.map((run, index) => {
    const figure = (name) => {
      const part = run.parts.find((p) => p.name === name);
      const metric = part && part.metrics.find((m) => m[0] === "macro_f1");
      return metric ? [metric[1], short(metric[1], 4), true] : [null, "–"];
    };
    return [[run.name, run.name, false, () => showRun(index)], [run.of, String(run.of)], ...names.map(figure)];
  });
  main.append(make("p", "lead", "macro F1 of the final class and of each head; a name opens its run"), sortable(["run", "photos", ...names], rows));
  if (c) {
    differing(box, c);
    intervals(box, c);
  }
  if (data.runs.length > 1) disagreement(box);
  return box;
}

function differing(box, c) {
  const keys = Array.from(new Set(c.variants.flatMap((v) => v.changes.map((x) => x.key)))).sort();
  const part = section(box, "settings", "What differs");
  if (!keys.length) {
    part.append(make("p", "lead", "the configurations are equal but for their seeds"));
    return;
  }
  const of = (key, v) => v.changes.find((x) => x.key === key);
  const first = (key) => {
    const change = c.variants.map((v) => of(key, v)).find(Boolean);
    return change.from === null ? "–" : change.from;
  };
  const value = (key, v) => {
    const change = of(key, v);
    return change ? (change.to === null ? "–" : change.to) : "as the first";
  };
  const name = (v) => v.folders.join(", ");
  part.append(sortable(["setting", ...c.variants.map(name)], keys.map((key) => [key, first(key), ...c.variants.slice(1).map((v) => value(key, v))])));
}

function intervals(box, c) {
  const part = section(box, "differences", "Differences");
  part.append(make("p", "lead", "mean of each configuration, and its paired difference to the first with the interval of " + percent(c.confidence)));
  const signed = (v) => (v > 0 ? "+" : "") + v.toFixed(4);
  const rows = c.figures.map((table) => [
    table.figure,
    ...table.rows.map((cell) => {
      if (cell.mean === null) return [null, "–"];
      const d = cell.difference;
      const ends = d && d.low !== null ? " [" + signed(d.low) + ", " + signed(d.high) + "]" : "";
      const verdict = cell.verdict === "baseline" ? "" : ", " + cell.verdict.replaceAll("_", " ");
      return [cell.mean, cell.mean.toFixed(4) + (d ? "; " + signed(d.mean) + ends : "") + verdict];
    }),
  ]);
  part.append(sortable(["figure", ...c.variants.map((v) => v.title)], rows));
  if (c.figure !== null) part.append(figuresOf([c.figure]));
  if (c.notes.length) part.append(notesOf(c.notes));
}

// Of two runs, which photos one gets right and the other does not.
function disagreement(box) {
  const part = section(box, "disagreement", "Where two runs disagree");
  const choice = make("div", "choice");
  const [a, b] = [make("select"), make("select")];
  data.runs.forEach((run, i) => [a, b].forEach((s) => s.append(new Option(run.name, i))));
  b.value = "1";
  const list = make("div");
  const fill = () => {
    const [first, second] = [data.runs[a.value], data.runs[b.value]];
    const others = new Map(second.photos.map((photo) => [photo.n, photo]));
    const cells = { "both right": [], "only the first right": [], "only the second right": [], "both wrong": [] };
    for (const photo of first.photos) {
      const other = others.get(photo.n);
      if (!other) continue;
      const [x, y] = [wrongPhoto(first, photo), wrongPhoto(second, other)];
      cells[x ? (y ? "both wrong" : "only the second right") : y ? "only the first right" : "both right"].push(photo);
    }
    const rows = Object.entries(cells).map(([name, photos]) => [name, [photos.length, String(photos.length), false, photos.length ? () => openDrawer(first, name, photos) : undefined]]);
    list.replaceChildren(sortable(["photos of both runs", "count"], rows));
  };
  for (const s of [a, b]) {
    s.addEventListener("change", fill);
    s.setAttribute("aria-label", "run");
    choice.append(s);
  }
  fill();
  part.append(choice, list);
}
