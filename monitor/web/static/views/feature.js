import { Problem, get } from "../api.js";
import { badge, crumbs, h, number, path, select, table, time } from "../dom.js";
import { distribution, timeline } from "../plots.js";
import { featureHref } from "./model.js";
import { askRows, rowTables } from "./rows.js";

const FIRST = ["drift", "psi", "ks", "js", "wasserstein", "chi2", "missing_share", "mean", "new_category_share"];

export async function featureView(model, feature, params, page) {
  const version = params.get("version") ?? "", segment = params.get("segment") ?? "";
  const { rows: windows } = await get(["models", model, "windows"], { limit: 60 });
  const head = [crumbs([model, path("models", model)], [feature]), h("h1", {}, feature)];
  if (!windows.length) return [...head, h("p", { class: "dim" }, "No window yet.")];
  const start = Number(params.get("start") ?? windows[0].start_ms);
  const q = { version, segment, subject: feature };
  const subjects = (await get(["models", model, "windows", start, "subjects"])).rows;
  const mine = subjects.find((s) => s.subject === feature && s.version === version && s.segment === segment)
    ?? subjects.find((s) => s.subject === feature);
  if (!mine) return [...head, h("p", { class: "dim" }, `The window of ${time(start)} has no ${feature}.`)];
  q.version = mine.version; q.segment = mine.segment;
  const names = [...FIRST.filter((n) => n in mine.scores), ...Object.keys(mine.scores).filter((n) => !FIRST.includes(n))];
  const plotted = names.slice(0, 4);
  const [shares, series, scores, rows] = await Promise.all([
    get(["models", model, "windows", start, "distribution"], q).catch((e) => { if (e instanceof Problem && e.status === 404) return null; throw e; }),
    get(["models", model, "timeline"], { ...q, scores: plotted.join(","), windows: 120 }),
    get(["models", model, "scores"], { ...q, from_ms: start, to_ms: start + 1, limit: 200 }),
    askRows(model, start, q.version),
  ]);
  const go = (changed) => page.go(featureHref(model, feature, { version: q.version, segment: q.segment, start, ...changed }));
  const times = windows.map((w) => [String(w.start_ms), time(w.start_ms)]);
  if (!times.some(([v]) => v === String(start))) times.push([String(start), time(start)]);
  return [...head,
    h("div", { class: "row" }, select("Window", "start", times, String(start), (v) => go({ start: v }))),
    shares ? distribution(shares) : h("p", { class: "dim" }, "Retention took what this window was made of; its scores are kept."),
    h("h2", {}, "Over time"),
    h("div", { class: "grid" }, plotted.map((name) => timeline(name, series.times, [{ name, values: series.series[name].values }], { limit: series.series[name].limit, marks: [{ at: start, text: "this window", kind: "alert" }] }))),
    h("h2", {}, "Scores of this window"),
    table(`${feature}, ${time(start)}`, ["score", ">value", ">limit", "level", ">rows", "rule"],
      names.map((n) => [n, number(mine.scores[n].value), number(mine.scores[n].threshold), mine.scores[n].rule ? badge(mine.scores[n].level) : "–", number(mine.scores[n].rows), mine.scores[n].rule])),
    ...scores.rows.filter((r) => Object.keys(r.evidence).length).map((r) => [h("h2", {}, `Evidence: ${r.score}`), evidence(r.evidence)]).flat(),
    ...rowTables(rows, feature),
  ];
}

export function evidence(found) {
  const parts = [];
  for (const [name, value] of Object.entries(found)) {
    if (Array.isArray(value) && value.length && value.every((v) => v && typeof v === "object" && !Array.isArray(v))) {
      const columns = [...new Set(value.flatMap((v) => Object.keys(v)))];
      parts.push(table(name, columns, value.map((v) => columns.map((c) => plain(v[c])))));
    } else if (value && typeof value === "object" && !Array.isArray(value)) {
      parts.push(table(name, ["", ">"], Object.entries(value).map(([k, v]) => [k, plain(v)])));
    } else parts.push(h("p", {}, h("span", { class: "dim" }, `${name}: `), plain(value)));
  }
  return parts.length ? parts : [h("p", { class: "dim" }, "No evidence is kept.")];
}

function plain(value) {
  if (typeof value === "number") return number(value);
  if (Array.isArray(value)) return value.map(plain).join(" → ");
  return value === null || value === undefined ? "–" : typeof value === "object" ? JSON.stringify(value) : String(value);
}
