"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const el = (id) => document.getElementById(id);

function make(name, className, text) {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

// A browser may refuse storage to a file; then the choice lasts as long as the page.
function theme() {
  const root = document.documentElement;
  try {
    const kept = localStorage.getItem("hydranet theme");
    if (kept) root.dataset.theme = kept;
  } catch (e) {}
  el("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try {
      localStorage.setItem("hydranet theme", root.dataset.theme);
    } catch (e) {}
  });
}
theme();
