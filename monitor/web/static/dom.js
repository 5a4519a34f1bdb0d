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

export const LEVELS = ["unjudged", "ok", "unsure", "warn", "breach"];

export function badge(text, kind = text) {
  return h("span", { class: `badge ${/^[a-z]+$/.test(kind) ? kind : ""}` }, words(text));
}

// threshold_crossed -> threshold crossed: for reasons and states of driftd's own, never for names of others
export const words = (text) => String(text ?? "").replaceAll("_", " ");

export const many = (count, one, more = `${one}s`) => `${number(count)} ${count === 1 ? one : more}`;

export function number(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e15) return value.toLocaleString("en");
  if (size > 0 && (size < 1e-4 || size >= 1e9)) return value.toExponential(2);
  return value.toLocaleString("en", { maximumSignificantDigits: digits });
}

export const percent = (value, digits = 1) => (value === null || value === undefined ? "–" : `${(value * 100).toFixed(digits)} %`);

export function time(ms) {
  if (ms === null || ms === undefined || ms < 0) return "–";
  return new Date(ms).toISOString().replace("T", " ").slice(0, 19) + "Z";
}

// a moment as it stands in tables: UTC, and in the reader's own zone where the mouse rests
export function when(ms) {
  if (ms === null || ms === undefined || ms < 0) return "–";
  const at = new Date(ms);
  return h("time", { datetime: at.toISOString(), title: `${at.toLocaleString()} in your time zone` }, time(ms));
}

export function ago(ms) {
  if (ms === null || ms === undefined || ms < 0) return "never";
  const s = Math.max(0, (Date.now() - ms) / 1000);
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) if (s >= size) return `${(s / size).toFixed(1)} ${unit} ago`;
  return `${s.toFixed(0)} s ago`;
}

// what may be wider than the page; where it is, the keyboard can scroll it
export function scrolling(label, ...children) {
  const box = h("div", { class: "scroll" }, children);
  new ResizeObserver(() => {
    const wide = box.scrollWidth > box.clientWidth;
    for (const [name, value] of [["tabindex", "0"], ["role", "region"], ["aria-label", label]]) if (wide) box.setAttribute(name, value); else box.removeAttribute(name);
  }).observe(box);
  return box;
}

// columns: names, those of numbers begin with >. On a narrow screen each row becomes a card, so cells carry their column's name;
// the roles keep it a table for screen readers there too.
export function table(caption, columns, rows, empty = "Nothing here yet.") {
  if (!rows.length) return h("p", { class: "dim" }, empty);
  const names = columns.map((c) => c.replace(/^>/, ""));
  const kind = (c) => (c.startsWith(">") ? "num" : null);
  const head = h("tr", { role: "row" }, columns.map((c, i) => names[i]
    ? h("th", { scope: "col", role: "columnheader", class: kind(c) }, names[i])
    : h("td", { role: "cell" })));
  const body = rows.map((row) => h("tr", { role: "row" }, row.map((cell, i) =>
    h("td", { role: "cell", class: kind(columns[i]), "data-label": names[i] || null, "data-none": cell === "–" }, cell))));
  return scrolling(caption, h("table", { role: "table", class: columns.length > 3 ? "stack" : "small" },
    h("caption", {}, caption), h("thead", { role: "rowgroup" }, head), h("tbody", { role: "rowgroup" }, body)));
}

// pairs of a name and what it is
export function facts(caption, rows) {
  return h("table", { class: "facts" }, h("caption", {}, caption), h("tbody", {}, rows.map(([name, value]) =>
    h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, value)))));
}

export const path = (...parts) => "/" + parts.map(encodeURIComponent).join("/");

export function crumbs(...parts) {
  const shown = [h("a", { href: "/" }, "Fleet")];
  for (const [text, href] of parts) shown.push(" / ", href ? h("a", { href }, text) : h("span", { "aria-current": "page" }, text));
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
