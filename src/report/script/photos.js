// Photos with what all heads say of them, in a gallery, behind a count, and by person.
const headParts = (run) => run.parts.filter((p) => p.kind !== "class");
const classPart = (run) => run.parts.find((p) => p.kind === "class");

function thumb(photo) {
  const source = photo.i === undefined ? null : data.pictures[photo.i];
  if (!source) return make("div", "gone", "no picture");
  const image = make("img");
  image.src = source;
  image.alt = photo.n;
  image.loading = "lazy";
  return image;
}

function wrongPhoto(run, photo) {
  const part = classPart(run);
  return part && part.photos ? wrongIn(run, part, photo) : headParts(run).some((p) => wrongIn(run, p, photo));
}

function shot(run, photo) {
  const box = make("article", "shot");
  box.append(thumb(photo));
  const part = classPart(run);
  if (part && photo.c !== null) {
    box.append(make("div", "says", run.classes[photo.c] + " · " + percent(photo.q)));
    if (photo.t !== null && photo.t !== photo.c) box.append(make("div", "truth", "true: " + run.classes[photo.t]));
  }
  box.append(make("div", "of", photo.n + (photo.p ? " · person " + photo.p : "")));
  headParts(run).forEach((p, index) => {
    const head = photo.h[index];
    box.append(make("h4", "", p.name));
    const heat = photo.g && photo.g[index];
    if (heat) {
      const image = make("img", "heat");
      image.src = heat.picture;
      image.alt = "where " + p.name + " looked for " + heat.label;
      image.title = image.alt + ": red says much, blue nothing";
      image.loading = "lazy";
      box.append(image);
    }
    if (head.v) {
      const [mean, low, high, truth] = head.v;
      box.append(make("div", "", mean + " (" + low + " to " + high + ")" + (truth === undefined ? "" : ", true " + truth)));
    }
    for (const [label, probability] of head.p) {
      const row = make("div", "head");
      const said = head.s.includes(label);
      const truth = head.t && head.t.includes(label);
      const name = make("span", said && head.t && !truth ? "wrong" : "", (said ? "● " : "○ ") + (truth ? "✓ " : "") + p.labels[label]);
      name.title = p.labels[label] + (said ? ", said" : "") + (truth ? ", true" : "");
      const bar = make("meter");
      bar.value = probability;
      bar.setAttribute("aria-label", p.labels[label]);
      row.append(name, bar, make("span", "p", short(probability, 2)));
      box.append(row);
    }
    const hidden = (head.t || []).filter((label) => !head.p.some((pair) => pair[0] === label));
    if (hidden.length) box.append(make("div", "truth", "true: " + hidden.map((label) => p.labels[label]).join(", ")));
  });
  return box;
}

// So many at first, and more on request.
function pages(items, count, draw, box) {
  box.replaceChildren();
  const list = make("div", box.dataset.list || "");
  const more = make("p", "more");
  let shown = 0;
  const next = () => {
    for (const item of items.slice(shown, shown + count)) list.append(draw(item));
    shown = Math.min(items.length, shown + count);
    more.replaceChildren();
    if (shown < items.length) more.append(button("show more: " + (items.length - shown) + " are left", "", next));
  };
  next();
  box.append(list, more);
}

function openDrawer(run, title, photos, count) {
  el("drawer-title").textContent = title + ": " + (count === undefined ? photos.length : count) + (count === 1 ? " photo" : " photos");
  const body = el("drawer-body");
  body.dataset.list = "cards";
  pages(photos, 48, (photo) => shot(run, photo), body);
  if (count !== undefined && photos.length < count) body.append(make("p", "lead", photos.length + " of them are on this page"));
  el("drawer").showModal();
}

function gallery(run) {
  const box = make("div");
  const choice = make("div", "choice");
  const show = make("select");
  const part = classPart(run);
  if (part && part.photos) show.append(new Option("wrong final class", "class"));
  headParts(run).forEach((p, i) => show.append(new Option("wrong " + p.name, String(i))));
  show.append(new Option("all right", "right"), new Option("all photos", "all"));
  const sort = make("select");
  sort.append(new Option("surest first", "sure"), new Option("least sure first", "unsure"), new Option("by name", "name"));
  const find = make("input");
  find.type = "search";
  find.placeholder = "photo or person";
  for (const [text, control] of [["show", show], ["sort", sort], ["find", find]]) {
    const label = make("label", "", text + " ");
    label.append(control);
    choice.append(label);
  }
  const count = make("span");
  choice.append(count);
  const list = make("div");
  list.dataset.list = "cards";
  const sure = (photo) => {
    const head = photo.h[Number(show.value)];
    return head && head.p.length ? head.p[0][1] : photo.q;
  };
  const fill = () => {
    const word = find.value.toLowerCase();
    const photos = run.photos.filter((photo) => {
      const fits = !word || (photo.n + " " + (photo.p || "")).toLowerCase().includes(word);
      if (show.value === "all") return fits;
      if (show.value === "right") return fits && !wrongPhoto(run, photo);
      return fits && wrongIn(run, show.value === "class" ? part : headParts(run)[Number(show.value)], photo);
    });
    const by = { sure: (a, b) => sure(b) - sure(a), unsure: (a, b) => sure(a) - sure(b), name: (a, b) => (a.n < b.n ? -1 : 1) };
    photos.sort(by[sort.value]);
    count.textContent = photos.length + (photos.length === 1 ? " photo" : " photos");
    pages(photos, 24, (photo) => shot(run, photo), list);
  };
  for (const control of [show, sort]) control.addEventListener("change", fill);
  find.addEventListener("input", fill);
  fill();
  box.append(choice, list);
  return box;
}

function personRows(run) {
  const wrong = (person) => person.photos.filter((i) => wrongPhoto(run, run.photos[i])).length;
  const persons = run.persons.map((person) => ({ person, wrong: wrong(person) }));
  persons.sort((a, b) => b.wrong - a.wrong || (a.person.n < b.person.n ? -1 : 1));
  const box = make("div");
  pages(persons, 20, ({ person, wrong }) => {
    const row = make("div", "person");
    const name = make("div", "", person.n);
    name.append(make("small", "", wrong + " of " + person.photos.length + " wrong"));
    const photos = make("div", "row");
    for (const index of person.photos) {
      const photo = run.photos[index];
      const b = button("", wrongPhoto(run, photo) ? "wrong" : "", () => openDrawer(run, person.n, [photo]));
      b.append(thumb(photo));
      b.title = photo.n;
      b.setAttribute("aria-label", photo.n + (wrongPhoto(run, photo) ? ", wrong" : ", right"));
      photos.append(b);
    }
    row.append(name, photos);
    return row;
  }, box);
  return box;
}
