"use strict";

const make = (tag, name = "", text = "") => {
  const made = document.createElement(tag);
  made.className = name;
  made.textContent = text;
  return made;
};
const makeButton = (text, told, act) => {
  const button = make("button", "button", text);
  button.type = "button";
  if (told) button.setAttribute("aria-label", told);
  button.addEventListener("click", act);
  return button;
};

// Tables: a heading sorts its column, and what is unknown stays below.
const valueOf = (row, column) => {
  const cell = row.cells[column];
  if (cell.dataset.value === undefined) return cell.textContent.trim();
  return cell.dataset.value === "" ? NaN : Number(cell.dataset.value);
};
const compare = (a, b, sign) => {
  if (typeof a === "string" || typeof b === "string") return sign * String(a).localeCompare(String(b), "en", { numeric: true });
  if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
  return sign * (a - b);
};
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const descending = head.getAttribute("aria-sort") === "ascending" ||
      (head.getAttribute("aria-sort") === null && column > 0 && table.tBodies[0].rows[0]?.cells[column].dataset.value !== undefined);
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => compare(valueOf(a, column), valueOf(b, column), descending ? -1 : 1));
    table.tBodies[0].append(...rows);
  }));
}

// A table that is wider than its place says so, with a shadow at its edge until its end is reached.
for (const table of document.querySelectorAll(".table")) {
  const wide = table.querySelector(".wide");
  const look = () => {
    table.querySelector(".hint").hidden = wide.scrollWidth <= wide.clientWidth + 1;
    table.classList.toggle("more", wide.scrollLeft + wide.clientWidth < wide.scrollWidth - 1);
  };
  wide.addEventListener("scroll", look, { passive: true });
  new ResizeObserver(look).observe(wide);
}

// Sections fold by themselves; all together, and open where a link leads to them or where they are printed.
const sections = [...document.querySelectorAll("section > details")];
const foldAll = makeButton("Fold all", "", () => {
  const open = sections.every((each) => !each.open);
  sections.forEach((each) => { each.open = open; });
});
sections.forEach((each) => each.addEventListener("toggle", () => {
  foldAll.textContent = sections.some((other) => other.open) ? "Fold all" : "Open all";
}));
document.querySelector("nav").append(foldAll);
const openTarget = () => {
  const section = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const folded = section && section.querySelector("details");
  if (folded) folded.open = true;
};
addEventListener("hashchange", openTarget);
openTarget();
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  opened.forEach((each) => { each.open = true; });
});
addEventListener("afterprint", () => opened.forEach((each) => { each.open = false; }));

// The settings' filter: rows, cards, curves, panels and figures of the settings that are ticked off go.
const settings = new Map();
for (const row of document.querySelectorAll("#results tr[data-series]")) {
  settings.set(row.dataset.series, settings.get(row.dataset.series) || row);
}
const hiddenSettings = new Set();
const filter = make("details", "filter");
const told = make("summary");
const boxes = new Map();
const applyFilter = () => {
  for (const part of document.querySelectorAll("[data-series], [data-entry]")) {
    part.classList.toggle("filtered", hiddenSettings.has(part.dataset.series ?? part.dataset.entry));
  }
  for (const group of document.querySelectorAll(".group")) {
    group.classList.toggle("filtered", !group.querySelector("li[data-series]:not(.filtered)"));
  }
  boxes.forEach((box, name) => { box.checked = !hiddenSettings.has(name); });
  const shown = settings.size - hiddenSettings.size;
  told.textContent = shown < settings.size ? `Settings: ${shown} of ${settings.size} shown` : `Settings: all ${shown} shown`;
};
if (settings.size > 1) {
  const choices = make("div");
  const both = make("p");
  both.append(
    makeButton("all", "Show all settings", () => { hiddenSettings.clear(); applyFilter(); }), " ",
    makeButton("none", "Hide all settings", () => { [...settings.keys()].forEach((name) => hiddenSettings.add(name)); applyFilter(); }),
  );
  choices.append(both);
  for (const [name, row] of settings) {
    const label = make("label");
    const box = make("input");
    box.type = "checkbox";
    box.addEventListener("change", () => {
      if (box.checked) hiddenSettings.delete(name); else hiddenSettings.add(name);
      applyFilter();
    });
    boxes.set(name, box);
    label.append(box, row.querySelector(".swatch").cloneNode(), name);
    choices.append(label);
  }
  filter.append(told, choices);
  document.querySelector("main").prepend(filter);
  applyFilter();
}
