// Elements are made, never parsed: a name from an event is always text.

export function h(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    made.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return made;
}

export const LEVELS = ["ok", "unsure", "warn", "breach"];

export function badge(text, kind = text) {
  return h("span", { class: `badge ${/^[a-z]+$/.test(kind) ? kind : ""}` }, text);
}

export function number(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return value.toLocaleString("en");
  return Number(value.toPrecision(digits)).toString();
}

export function time(ms) {
  if (ms === null || ms === undefined || ms < 0) return "–";
  return new Date(ms).toISOString().replace("T", " ").slice(0, 19) + "Z";
}

export function ago(ms) {
  if (ms === null || ms === undefined || ms < 0) return "never";
  const s = Math.max(0, (Date.now() - ms) / 1000);
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) if (s >= size) return `${(s / size).toFixed(1)} ${unit} ago`;
  return `${s.toFixed(0)} s ago`;
}

export function table(caption, columns, rows, empty = "Nothing here yet.") {
  if (!rows.length) return h("p", { class: "dim" }, empty);
  const kind = (c) => (c.startsWith(">") ? { class: "num" } : {});
  const head = h("tr", {}, columns.map((c) => h("th", { scope: "col", ...kind(c) }, c.replace(/^>/, ""))));
  const body = rows.map((row) => h("tr", {}, row.map((cell, i) => h("td", kind(columns[i]), cell))));
  const named = columns.some((c) => c.replace(/^>/, ""));
  return h("div", { class: "scroll" }, h("table", {}, h("caption", {}, caption), named ? h("thead", {}, head) : null, h("tbody", {}, body)));
}

export const path = (...parts) => "/" + parts.map(encodeURIComponent).join("/");

export function crumbs(...parts) {
  const shown = [h("a", { href: "/" }, "Fleet")];
  for (const [text, href] of parts) shown.push(" / ", href ? h("a", { href }, text) : text);
  return h("nav", { class: "crumbs", "aria-label": "You are here" }, shown);
}

export function toast(text) {
  const note = h("p", {}, text);
  document.getElementById("toast").append(note);
  setTimeout(() => note.remove(), 6000);
}

export function select(label, name, options, chosen, change) {
  const made = h("select", { name, onchange: (e) => change(e.target.value) });
  for (const [value, text] of options) made.append(h("option", { value, selected: value === chosen }, text));
  return h("label", {}, label, made);
}
