
// Figures. What belongs to a setting or a split says so in data-series, a legend's entry in data-entry, and data-values
// holds what can be pointed at: a line of series, then a line each of x, y, the series' number and a text.
const isHidden = (part) => part.classList.contains("filtered") || part.classList.contains("toggled");
const partsOf = (svg, name) => [...svg.querySelectorAll("[data-series]")].filter((part) => part.dataset.series === name);

// A legend's entry hides and shows its series in its figure.
const makeLegend = (svg) => {
  const entries = new Map();
  for (const part of svg.querySelectorAll("[data-entry]")) {
    entries.set(part.dataset.entry, [...(entries.get(part.dataset.entry) || []), part]);
  }
  for (const [name, parts] of entries) {
    const button = parts.find((part) => part.querySelector("text"));
    if (!button) continue;
    const toggle = () => {
      const off = button.getAttribute("aria-pressed") === "true";
      button.setAttribute("aria-pressed", String(!off));
      [...parts, ...partsOf(svg, name)].forEach((part) => part.classList.toggle("toggled", off));
      tip.hide();
    };
    const box = button.getBBox();
    const area = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    Object.entries({ x: box.x - 4, y: box.y - 1, width: box.width + 8, height: box.height + 2, fill: "transparent" })
      .forEach(([key, value]) => area.setAttribute(key, value));
    button.prepend(area);
    Object.entries({ role: "button", tabindex: "0", "aria-pressed": "true", "aria-label": `Show ${name}` })
      .forEach(([key, value]) => button.setAttribute(key, value));
    parts.forEach((part) => part.addEventListener("click", toggle));
    button.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      event.stopPropagation();
      toggle();
    });
    svg.setAttribute("role", "group"); // an image's parts are hidden from those who do not see it
  }
};

// The value that is pointed at, in words, with a ring around its place.
const tip = {
  box: make("div", "tip"),
  ring: document.createElementNS("http://www.w3.org/2000/svg", "circle"),
  show(svg, value, level) {
    Object.assign(this, { svg, value });
    this.ring.setAttribute("class", "at");
    this.ring.setAttribute("r", 5);
    this.ring.setAttribute("cx", value.x);
    this.ring.setAttribute("cy", value.y);
    svg.append(this.ring);
    const words = (each) => [...(each.series ? [make("b", "", each.series)] : []), make("span", "", each.text)];
    this.box.replaceChildren(...[value, ...level].flatMap(words));
    (svg.closest("dialog") || document.body).append(this.box);
    this.place();
  },
  place() {
    const place = new DOMPoint(this.value.x, this.value.y).matrixTransform(this.svg.getScreenCTM());
    const { width, height } = this.box.getBoundingClientRect();
    this.box.style.left = `${Math.max(4, Math.min(place.x + 12, document.documentElement.clientWidth - width - 4))}px`;
    this.box.style.top = `${place.y - height - 12 < 4 ? place.y + 14 : place.y - height - 12}px`;
  },
  hide() {
    this.ring.remove();
    this.box.replaceChildren();
  },
};
tip.box.setAttribute("role", "status");
addEventListener("scroll", () => tip.ring.isConnected && tip.place(), { passive: true, capture: true });

const REACH = 20; // how far from a value, in points of the figure, one may point
const readValues = (svg) => {
  const [names, ...lines] = svg.dataset.values.split("\n");
  const series = names.split("\t").map((name) => ({ name, part: partsOf(svg, name)[0] }));
  return lines.map((line) => {
    const [x, y, number, text] = line.split("\t");
    return { x: Number(x), y: Number(y), text, series: series[number].name, part: series[number].part };
  });
};
const tellValues = (svg) => {
  let all = null; // read when they are first asked for
  let current = null;
  const shown = () => (all ??= readValues(svg)).filter((value) => !value.part || !isHidden(value.part));
  const nearest = (values, distance) => values.reduce((best, value) => (best && distance(best) <= distance(value) ? best : value), null);
  const tell = (value) => {
    current = value;
    if (!value) return tip.hide();
    // Values that lie on each other are told together.
    const covered = (other) => other !== value && Math.hypot(other.x - value.x, other.y - value.y) < 2;
    return tip.show(svg, value, shown().filter(covered).slice(0, 4));
  };
  const point = (event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const found = nearest(shown(), (value) => Math.hypot(value.x - at.x, value.y - at.y));
    const near = found && Math.hypot(found.x - at.x, found.y - at.y) < REACH ? found : null;
    if (near !== current || !tip.ring.isConnected) tell(near);
  };
  // Arrows: left and right from value to value, up and down from series to series at about the same place.
  const step = (event) => {
    const values = shown();
    const place = values.indexOf(current);
    const names = [...new Set(values.map((value) => value.series))];
    const move = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape" && current) { event.preventDefault(); tell(null); }
    if (!move || !values.length) return;
    event.preventDefault();
    if (place < 0) return tell(values[0]);
    if (event.key === "ArrowRight" || event.key === "ArrowLeft") return tell(values[Math.max(0, Math.min(place + move, values.length - 1))]);
    const name = names[(names.indexOf(current.series) + move + names.length) % names.length];
    return tell(nearest(values.filter((value) => value.series === name), (value) => Math.abs(value.x - current.x)));
  };
  svg.setAttribute("role", "group");
  svg.setAttribute("tabindex", "0");
  svg.setAttribute("aria-label", `${svg.getAttribute("aria-label")}; arrow keys tell its values`);
  svg.addEventListener("pointermove", point);
  svg.addEventListener("pointerdown", point);
  svg.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && tell(null));
  svg.addEventListener("blur", () => tell(null));
  svg.addEventListener("keydown", step);
};

// A figure enlarged over the page: as large as the window, or where that is hardly larger, so that one scrolls in it.
const enlarge = (figure, svg) => {
  const dialog = make("dialog");
  const stage = make("div", "stage");
  const place = make("div");
  const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
  const before = svg.getBoundingClientRect();
  let scale = null;
  const fit = () => {
    const whole = Math.min(stage.clientWidth, (stage.clientHeight * width) / height);
    scale ??= whole > 1.3 * before.width ? 1 : (1.6 * before.width) / whole;
    svg.style.width = `${Math.floor(whole * scale)}px`;
  };
  const larger = (factor) => { scale = Math.max(1, Math.min(scale * factor, 10)); tip.hide(); fit(); };
  const tools = make("div", "tools");
  tools.append(
    makeButton("−", "Smaller", () => larger(1 / 1.5)), makeButton("+", "Larger", () => larger(1.5)),
    makeButton("Close", "", () => dialog.close()),
  );
  dialog.append(tools, stage);
  dialog.setAttribute("aria-label", figure.querySelector("figcaption").textContent.replace("⤢", ""));
  stage.tabIndex = 0;
  place.style.height = `${before.height}px`; // the page behind stays as it is
  svg.replaceWith(place);
  stage.append(svg);
  document.body.append(dialog);
  dialog.addEventListener("close", () => {
    tip.hide();
    svg.style.width = "";
    place.replaceWith(svg);
    dialog.remove();
    removeEventListener("resize", fit);
    figure.querySelector(".zoom").focus();
  });
  addEventListener("resize", fit);
  dialog.showModal();
  fit();
};

for (const svg of document.querySelectorAll("figure > svg")) {
  const figure = svg.parentElement;
  if (svg.querySelector("[data-entry]")) makeLegend(svg);
  if (svg.dataset.values) tellValues(svg);
  const caption = figure.querySelector("figcaption");
  const button = makeButton("⤢", `Enlarge: ${caption.textContent.split(". ")[0]}`, () => enlarge(figure, svg));
  button.classList.add("zoom");
  caption.prepend(button);
}
