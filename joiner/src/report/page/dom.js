// Elements. Text goes in as text, never as markup: names of processes are not to be trusted.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
  return node;
}

const el = (name, attributes, ...children) =>
  fill(document.createElement(name), attributes, children);

const svg = (name, attributes, ...children) =>
  fill(document.createElementNS(SVG, name), attributes, children);

const byId = (id) => document.getElementById(id);

let announced;

// Says something to everybody, for a moment.
function announce(text) {
  clearTimeout(announced);
  let toast = byId("toast");
  if (!toast) {
    toast = el("div", { id: "toast", role: "status", "aria-live": "polite" });
    document.body.append(toast);
  }
  toast.textContent = text;
  toast.classList.add("on");
  announced = setTimeout(() => toast.classList.remove("on"), 2200);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // A file opened from disk may have no clipboard of its own.
    const area = el("textarea", { class: "offscreen", readonly: true });
    area.value = text;
    const focused = document.activeElement;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    if (focused) focused.focus();
  }
  announce("Copied: " + text);
}

function copyIcon() {
  return svg("svg", { viewBox: "0 0 16 16", width: 14, height: 14, "aria-hidden": "true", class: "icon" },
    svg("rect", { x: 5.5, y: 5.5, width: 8, height: 8, rx: 1.5 }),
    svg("path", { d: "M10.5 3.5v-.5a1 1 0 0 0-1-1H3a1 1 0 0 0-1 1v6.500a1 1 0 0 0 1 1h.5" }));
}

// The display filter of a row, to be copied.
function filterCell(filter) {
  if (!filter) return el("span", { class: "none", title: "no display filter shows exactly this" }, "–");
  return el("button", {
    type: "button", class: "filter", title: filter, "data-filter": filter,
    "aria-label": "Copy the display filter " + filter,
    onclick: () => copy(filter),
  }, copyIcon(), el("code", {}, filter));
}

// One of several, by keyboard as radio buttons are.
let choosers = 0;
function chooser(label, options, chosen, change) {
  const name = "choice" + choosers++;
  return el("fieldset", { class: "chooser" }, el("legend", { class: "offscreen" }, label),
    options.map(([value, text]) => el("label", {},
      el("input", {
        type: "radio", name, value, checked: value === chosen, onchange: () => change(value),
      }), el("span", {}, text))));
}

function section(id, title, lead, ...children) {
  return el("section", { id, "aria-labelledby": id + "-title" },
    el("h2", { id: id + "-title" }, title), lead && el("p", { class: "lead" }, lead), children);
}

const card = (...children) => el("div", { class: "card" }, children);

const head = (title, ...rest) => el("div", { class: "head" }, el("h3", {}, title), rest);

