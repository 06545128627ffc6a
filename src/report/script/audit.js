// The page of an audit and of health: cards to decide on.
const storage = "hydranet " + data.key;
const state = { tab: 0, at: 0, shown: [], decisions: {}, undo: [] };

// A browser may refuse storage to a file; decisions then last as long as the page.
function load() {
  try {
    state.decisions = JSON.parse(localStorage.getItem(storage)) || {};
  } catch (e) {
    state.decisions = {};
  }
}

function store() {
  try {
    localStorage.setItem(storage, JSON.stringify(state.decisions));
  } catch (e) {}
}

const tab = () => data.tabs[state.tab];
const photo = (card) => data.photos[card.photo];
const keyOf = (tab, card) =>
  JSON.stringify([tab.id, card.kind || "", tab.kind === "persons" ? card.person : photo(card).name, card.near && tab.kind === "health" ? data.photos[card.near[0]].name : "", tab.kind === "persons" ? card.head : ""]);
const decisionOf = (card) => state.decisions[keyOf(tab(), card)];
const labelsOf = (tab, card) => (tab.kind === "persons" ? data.heads[card.head].labels : tab.labels);

// What a decision says in a file of corrections.
function entries(tab, card, decision) {
  const name = photo(card).name;
  const subject = tab.kind === "persons" ? { person: card.person } : { photo: name };
  if (tab.kind === "health") {
    return decision.action === "drop" ? [{ photo: name, action: "drop", note: card.kind }] : [];
  }
  if (tab.kind === "class") {
    if (decision.action !== "relabel") return [{ ...subject, action: decision.action }];
    const to = tab.classes[decision.label];
    const out = [];
    data.heads.forEach((head, h) => {
      const given = photo(card).given[h];
      if (to[h] === null || to[h] === given) return;
      const was = given < 0 ? {} : { was: head.labels[given] };
      out.push({ ...subject, action: "relabel", head: head.name, label: head.labels[to[h]], ...was });
    });
    return out.length ? out : [{ ...subject, action: "keep" }];
  }
  const head = data.heads[card.head];
  const entry = { ...subject, action: decision.action, head: head.name };
  if (decision.action === "relabel") entry.label = head.labels[decision.label];
  // Of a person the photos may have been given different labels.
  if (tab.kind === "head") entry.was = head.labels[card.given];
  return [entry];
}

function quote(text) {
  const escaped = Array.from(text, (c) => {
    const code = c.codePointAt(0);
    if (c === '"' || c === "\\") return "\\" + c;
    if (code < 32 || code === 127) return "\\u" + code.toString(16).padStart(4, "0");
    return code >= 0xd800 && code < 0xe000 ? "\ufffd" : c;
  });
  return '"' + escaped.join("") + '"';
}

function corrections() {
  const out = [];
  for (const t of data.tabs) {
    for (const card of t.cards) {
      const decision = state.decisions[keyOf(t, card)];
      if (decision) out.push(...entries(t, card, decision));
    }
  }
  const lines = ["version = 1"];
  for (const entry of out) {
    lines.push("", "[[corrections]]");
    for (const key of ["photo", "person", "action", "head", "label", "was", "note"]) {
      if (entry[key] !== undefined) lines.push(key + " = " + quote(entry[key]));
    }
  }
  return lines.join("\n") + "\n";
}

function download() {
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([corrections()], { type: "application/toml" }));
  link.download = "corrections.toml";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function decide(card, decision) {
  const key = keyOf(tab(), card);
  state.undo.push([key, state.decisions[key]]);
  if (decision) state.decisions[key] = decision;
  else delete state.decisions[key];
  store();
  refresh(card);
}

function undo() {
  const last = state.undo.pop();
  if (!last) return;
  if (last[1]) state.decisions[last[0]] = last[1];
  else delete state.decisions[last[0]];
  store();
  for (const card of state.shown) refresh(card);
  const at = state.shown.findIndex((card) => keyOf(tab(), card) === last[0]);
  if (at >= 0) select(at, true);
}

function refresh(card) {
  const at = state.shown.indexOf(card);
  const old = el("cards").children[at];
  if (old && at >= 0) old.replaceWith(draw(card, at));
  summary();
}

function act(action, label) {
  const card = state.shown[state.at];
  if (!card) return;
  const t = tab();
  if (action === "relabel") {
    if (t.kind === "health") return;
    label = label === undefined ? card.suggested : label;
    if (label === undefined || label >= labelsOf(t, card).length) return;
    if (label === card.given && t.kind !== "persons") decide(card, { action: "keep" });
    else decide(card, { action, label });
  } else {
    decide(card, { action });
  }
  move(1);
}

function words(card, decision) {
  if (decision.action === "relabel") return "→ " + labelsOf(tab(), card)[decision.label];
  const what = { keep: "kept", drop: tab().kind === "head" ? "label dropped" : tab().kind === "persons" ? "labels dropped" : "photo dropped" };
  return what[decision.action];
}

function picture(index, className) {
  const p = data.photos[index];
  if (!p.thumb) return make("div", "none", "cannot be read");
  const image = make("img", className);
  image.src = p.thumb;
  image.alt = "";
  image.title = p.name + (p.person ? "\nperson " + p.person : "");
  return image;
}

function strip(title, photos, head) {
  const box = make("div", "strip");
  box.append(make("h4", "", title));
  const row = make("div");
  for (const index of photos) {
    const figure = make("figure");
    figure.append(picture(index));
    const p = data.photos[index];
    const given = head === undefined ? -1 : p.given[head];
    const text = given >= 0 ? data.heads[head].labels[given] : p.given.map((g, h) => (g < 0 ? "?" : data.heads[h].labels[g])).join(" / ");
    const caption = make("figcaption", "", text);
    caption.title = text;
    figure.append(caption);
    row.append(figure);
  }
  box.append(row);
  return box;
}

function draw(card, at) {
  const t = tab();
  const labels = labelsOf(t, card);
  const decision = decisionOf(card);
  const box = make("article", (at === state.at ? "here " : "") + (decision ? "done" : ""));
  const left = make("div", "photo");
  left.append(picture(card.photo));
  const right = make("div");
  if (card.kind) right.append(make("div", "labels", card.kind));
  if (card.given !== undefined && card.suggested !== undefined) {
    const line = make("div", "labels");
    if (t.kind === "persons") line.append(data.heads[card.head].name + ": ");
    line.append(make("span", "given", labels[card.given]), " → ", make("span", "suggested", labels[card.suggested]));
    right.append(line);
  }
  if (card.probs) {
    const table = make("div", "probs");
    for (const [label, p] of card.probs) {
      const bar = make("meter");
      bar.value = p;
      const name = make("span", "", (label < 9 ? label + 1 + " " : "") + labels[label]);
      name.title = labels[label];
      table.append(name, bar, make("span", "", p.toFixed(3)));
    }
    right.append(table);
  }
  if (card.score !== undefined) right.append(make("div", "name", "score of the given label " + card.score.toFixed(3)));
  if (card.text) right.append(make("div", "name", card.text));
  right.append(make("div", "name", (t.kind === "persons" ? "" : photo(card).name) + (card.person ? (t.kind === "persons" ? "" : " · ") + "person " + card.person : "")));
  box.append(left, right);
  if (card.own) box.append(strip("same person", card.own, card.head));
  if (card.near) {
    const title = t.kind === "health" ? "beside" : "nearest with the suggested label";
    box.append(strip(title, card.near, card.head));
  }
  const does = make("div", "does");
  const button = (text, run) => {
    const b = make("button", "", text);
    b.addEventListener("click", (event) => {
      event.stopPropagation();
      select(at, false);
      run();
    });
    does.append(b);
  };
  if (t.kind !== "health") {
    button("relabel", () => act("relabel"));
    button("keep", () => act("keep"));
    button(t.kind === "class" ? "drop photo" : "drop label", () => act("drop"));
  } else {
    button("all right", () => act("keep"));
    button("drop photo", () => act("drop"));
  }
  if (decision) {
    button("clear", () => decide(card, undefined));
    does.append(make("span", "decision", words(card, decision)));
  }
  box.append(does);
  box.addEventListener("click", () => select(at, false));
  return box;
}

function select(at, scroll) {
  const all = el("cards").children;
  if (all[state.at]) all[state.at].classList.remove("here");
  state.at = Math.max(0, Math.min(at, state.shown.length - 1));
  if (all[state.at] && state.shown.length) {
    all[state.at].classList.add("here");
    if (scroll) all[state.at].scrollIntoView({ block: "nearest" });
  }
}

const move = (by) => select(state.at + by, true);

function columns() {
  const all = Array.from(el("cards").children);
  const second = all.findIndex((c) => c.offsetTop > all[0].offsetTop);
  return second < 1 ? Math.max(1, all.length) : second;
}

function summary() {
  const reviewed = (t) => t.cards.filter((c) => state.decisions[keyOf(t, c)]).length;
  Array.from(el("tabs").children).forEach((b, i) => {
    const t = data.tabs[i];
    b.textContent = t.title + " " + (reviewed(t) ? reviewed(t) + "/" : "") + t.cards.length;
  });
  const all = data.tabs.reduce((sum, t) => sum + reviewed(t), 0);
  el("progress").textContent = all + " decided";
  const t = tab();
  const rest = t.of > t.cards.length ? " of the first " + t.cards.length + ", " + t.of + " in all" : " of " + t.cards.length;
  el("count").textContent = state.shown.length + rest;
}

function list() {
  const t = tab();
  const [given, suggested, kind] = [el("given").value, el("suggested").value, el("kind").value];
  const most = el("score").value === "" ? Infinity : Number(el("score").value);
  const reviewed = el("reviewed").value;
  const named = (card, index) => (index === undefined ? "" : labelsOf(t, card)[index]);
  state.shown = t.cards.filter(
    (c) =>
      (!given || named(c, c.given) === given) &&
      (!suggested || named(c, c.suggested) === suggested) &&
      (!kind || c.kind === kind) &&
      (c.score === undefined || c.score <= most) &&
      (!reviewed || (reviewed === "yes") === Boolean(decisionOf(c)))
  );
  const by = {
    score: (a, b) => (a.score || 0) - (b.score || 0),
    name: (a, b) => (photo(a).name < photo(b).name ? -1 : 1),
    person: (a, b) => ((a.person || photo(a).person || "") < (b.person || photo(b).person || "") ? -1 : 1),
  }[el("sort").value];
  if (by) state.shown.sort(by);
  state.at = 0;
  el("cards").replaceChildren(...state.shown.map(draw));
  if (!state.shown.length) el("cards").append(make("p", "empty", "nothing to show here"));
  summary();
}

function choices(id, values) {
  const select = el(id);
  select.replaceChildren(new Option("all", ""), ...values.map((v) => new Option(v, v)));
  select.parentElement.hidden = values.length === 0;
  select.parentElement.style.display = values.length ? "" : "none";
}

function open(index) {
  state.tab = index;
  const t = tab();
  if (!t) {
    el("cards").append(make("p", "empty", "nothing was found"));
    return;
  }
  const distinct = (of) => Array.from(new Set(t.cards.map(of).filter(Boolean))).sort();
  const named = (which) => distinct((c) => (c[which] === undefined ? "" : labelsOf(t, c)[c[which]]));
  choices("given", named("given"));
  choices("suggested", named("suggested"));
  choices("kind", distinct((c) => c.kind));
  el("score").parentElement.style.display = t.kind === "health" ? "none" : "";
  Array.from(el("tabs").children).forEach((b, i) => b.setAttribute("aria-selected", String(i === index)));
  list();
}

function audit() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (["INPUT", "SELECT"].includes(event.target.tagName)) return;
    const key = event.key;
    const steps = { ArrowRight: 1, ArrowLeft: -1 };
    if (key in steps) move(steps[key]);
    else if (key === "ArrowDown") move(columns());
    else if (key === "ArrowUp") move(-columns());
    else if (key === "r") act("relabel");
    else if (key === "k") act("keep");
    else if (key === "d") act("drop");
    else if (key === "u") undo();
    else if (key >= "1" && key <= "9" && key.length === 1) act("relabel", Number(key) - 1);
    else return;
    event.preventDefault();
  });

  load();
  data.tabs.forEach((t, i) => {
    const b = make("button", "", t.title);
    b.setAttribute("role", "tab");
    b.addEventListener("click", () => {
      b.blur();
      open(i);
    });
    el("tabs").append(b);
  });
  for (const id of ["given", "suggested", "kind", "score", "reviewed", "sort"]) el(id).addEventListener("change", list);
  el("save").addEventListener("click", download);
  open(0);
}
