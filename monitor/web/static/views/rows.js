// The rows that a window kept, masked as the config says: the farthest from the reference where there are some, and its sample.
import { get } from "../api.js";
import { h, number, table, when } from "../dom.js";

const SHOWN = 20;

export function askRows(model, start, version) {
  const q = { version, limit: SHOWN };
  const from = ["models", model, "windows", start, "rows"];
  return Promise.all([get(from, { ...q, worst: true }), get(from, q)]);
}

export function rowTables([worst, sample], feature) {
  return [h("h2", {}, "Rows of this window"), rowTable("Farthest from the reference", worst, feature, true), rowTable("Sample", sample, feature, false)];
}

function rowTable(title, found, feature, worst) {
  if (!found.rows.length) return h("p", { class: "dim note" }, `${title}: ${found.reason}.`);
  const names = Object.keys(found.rows[0].features).sort((a, b) => (b === feature) - (a === feature));
  const fixed = ["time", ...(worst ? [">distance"] : []), "label", ">score", ">latency_ms", "error"];
  const cell = (value) => (typeof value === "number" ? number(value) : value ?? "–");
  const hidden = found.masked.length ? `, without ${found.masked.join(", ")}` : "";
  return table(`${title}: ${found.rows.length} of ${found.kept} kept${hidden}`, [...fixed, ...names.map((n) => (typeof found.rows[0].features[n] === "number" ? `>${n}` : n))],
    found.rows.map((r) => [when(r.ts_ms), ...(worst ? [number(r.distance)] : []), cell(r.label), cell(r.score), cell(r.latency_ms), r.error ? "yes" : "no", ...names.map((n) => cell(r.features[n]))]));
}
