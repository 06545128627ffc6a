// The page of runs.
const SIDES = { train: "training", valid: "validation", test: "test", all: "given" };

function section(box, id, title) {
  const part = make("section");
  part.id = id;
  part.append(make("h2", "", title));
  box.append(part);
  return part;
}

function notesOf(notes) {
  const list = make("ul", "notes");
  for (const note of notes) list.append(make("li", "", note));
  return list;
}

function runPage(run) {
  const box = make("div");
  const about = section(box, "about", "What was trained on what");
  const tiles = make("div", "tiles");
  for (const part of run.parts) {
    const metric = part.metrics.find((m) => m[0] === "macro_f1");
    const tile = make("div", "tile");
    tile.append(make("b", "", metric ? short(metric[1]) : "–"), make("span", "", "macro F1, " + (part.kind === "class" ? "final class" : part.name)));
    tiles.append(tile);
  }
  about.append(tiles);
  if (run.notes.length) about.append(notesOf(run.notes));
  const facts = make("dl", "facts");
  for (const [name, text] of run.facts) facts.append(make("dt", "", name), make("dd", "", text));
  about.append(facts);
  if (run.settings) {
    const details = make("details");
    details.append(make("summary", "", "the whole configuration"), make("pre", "", run.settings));
    about.append(details);
  }
  if (run.curves.length) section(box, "curves", "Curves").append(figuresOf(run.curves));
  if (run.parts.some((p) => p.photos)) {
    const scores = section(box, "scores", "Scores on the " + (SIDES[run.side] || run.side) + " photos");
    const choice = make("div", "choice");
    const body = make("div");
    const show = (part) => {
      choice.replaceChildren();
      for (const p of run.parts) {
        const b = button(p.kind === "class" ? "final class" : p.name, "", () => show(p));
        b.setAttribute("aria-pressed", String(p === part));
        choice.append(b);
      }
      body.replaceChildren(partPage(run, part));
    };
    show(run.parts[0]);
    scores.append(choice, body);
  }
  if (run.errors && run.errors.heads.length) errorsOf(run, section(box, "errors", "Where the errors come from"));
  if (run.photos.length) section(box, "photos", "Photos").append(gallery(run));
  if (run.persons.length) section(box, "persons", "Persons").append(personRows(run));
  return box;
}

function errorsOf(run, part) {
  const e = run.errors;
  part.append(make("p", "lead", e.wrong + " photos have a wrong final class. How often a head is wrong in these, and what the scores would be if it were always right:"));
  const rows = e.heads.map((h) => [h.head, [h.alone, String(h.alone)], [h.at_all, String(h.at_all)], [h.accuracy_if_right, short(h.accuracy_if_right), true], [h.macro_f1_if_right, short(h.macro_f1_if_right), true]]);
  part.append(sortable(["head", "alone", "at all", "accuracy if right", "macro F1 if right"], rows));
  if (!e.by_heads.length) return;
  part.append(make("h3", "", "wrong together"));
  const names = headParts(run).map((p) => p.name);
  const wrong = (photo) => names.filter((name, i) => run.leaves[photo.t][i] !== run.leaves[photo.c][i]).join();
  const photos = (set) => run.photos.filter((p) => p.t !== null && p.c !== null && p.t !== p.c && wrong(p) === set.heads.join());
  const sets = e.by_heads.map((set) => [set.heads.join(" and "), [set.photos, String(set.photos), false, () => openDrawer(run, set.heads.join(" and ") + " wrong", photos(set), set.photos)]]);
  part.append(sortable(["heads", "photos"], sets));
}

// Shows a run, or all side by side.
function showRun(index) {
  const several = data.runs.length > 1;
  el("runs").replaceChildren();
  if (several) {
    [["side by side", -1], ...data.runs.map((run, i) => [run.name, i])].forEach(([text, place]) => {
      const b = button(text, "", () => showRun(place));
      b.setAttribute("aria-pressed", String(place === index));
      el("runs").append(b);
    });
  }
  el("title").textContent = index < 0 ? data.runs.length + " runs" : data.runs[index].name;
  el("page").replaceChildren(index < 0 ? comparePage() : runPage(data.runs[index]));
  if (data.live) el("page").prepend(notesOf(["the run goes on, and this page loads itself again every few seconds"]));
  el("sections").replaceChildren();
  for (const part of el("page").querySelectorAll("section")) {
    const link = make("a", "", part.querySelector("h2").textContent);
    link.href = "#" + part.id;
    el("sections").append(link);
  }
}

if (data.view === "audit") audit();
else if (data.view === "sheet") sheet();
else if (data.view === "figure") figurePage();
else showRun(data.runs.length > 1 ? -1 : 0);
