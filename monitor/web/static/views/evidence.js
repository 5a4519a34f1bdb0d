// Evidence of a finding, whatever its detector put there: distributions as bars, lists as tables, the rest as facts.
import { facts, h, number, percent, table } from "../dom.js";
import { bars } from "../plots.js";

const DRAWN = ["cells", "names", "reference_shares", "current_shares"];

export function evidence(found) {
  return Object.keys(found ?? {}).length ? parts(found, "Found") : [h("p", { class: "dim" }, "No evidence is kept.")];
}

function parts(found, caption) {
  const entries = Object.entries(found).filter(([, v]) => !(Array.isArray(v) && !v.length));
  const drawn = distributed(found), rest = entries.filter(([name]) => !drawn || !DRAWN.includes(name));
  const simple = rest.filter(([, v]) => !isList(v) && !isObject(v));
  return [
    drawn ? bars("Shares before and now", ...drawn) : null,
    simple.length ? facts(caption, simple.map(([name, v]) => [name, plain(v, name)])) : null,
    ...rest.filter(([, v]) => isList(v)).map(([name, v]) => listed(name, v)),
    ...rest.filter(([, v]) => isObject(v)).map(([name, v]) => parts(v, title(name))),
  ];
}

const isObject = (v) => v !== null && typeof v === "object" && !Array.isArray(v);
const isList = (v) => Array.isArray(v) && v.length > 0 && v.every(isObject);
const title = (name) => name.replaceAll("_", " ");

function distributed(found) {
  const names = found.cells ?? found.names, before = found.reference_shares, now = found.current_shares;
  const fits = [names, before, now].every(Array.isArray) && names.length === before.length && names.length === now.length;
  return fits && names.length ? [names.map(String), before, now] : null;
}

function listed(name, rows) {
  const columns = [...new Set(rows.flatMap((v) => Object.keys(v)))];
  const moved = name === "moved";
  columns.sort((a, b) => (typeof rows[0][a] === "number") - (typeof rows[0][b] === "number") || (moved ? (b === "before") - (a === "before") : 0));
  return table(title(name), columns.map((c) => (typeof rows[0][c] === "number" ? `>${c}` : c)), rows.map((v) => columns.map((c) =>
    (moved && typeof v[c] === "number" ? percent(v[c]) : plain(v[c], c)))));
}

function plain(value, name = "") {
  if (typeof value === "number") return number(value);
  if (Array.isArray(value)) return value.map((v) => plain(v)).join(/interval|range/.test(name) ? " to " : value.length === 2 ? " → " : ", ");
  return value === null || value === undefined ? "–" : typeof value === "object" ? JSON.stringify(value) : String(value);
}
