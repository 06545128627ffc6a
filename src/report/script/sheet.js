// Photos as the network sees them.
function sheet() {
  el("title").textContent = "What the network sees";
  const box = make("div", "cards");
  for (const photo of data.photos) {
    const card = make("article", "shot");
    const image = make("img");
    image.src = photo.picture;
    image.alt = photo.name;
    card.append(image, make("div", "of", photo.name));
    for (const [head, target] of photo.targets) {
      const line = make("div", "", head + ": ");
      line.append(make("b", "", target));
      card.append(line);
    }
    box.append(card);
  }
  const text = data.photos.length + " photos of the first epoch, augmented and mixed, " + data.size.join(" × ") + " (height × width), with what they are taught as";
  el("page").append(make("p", "lead", text), box);
}
