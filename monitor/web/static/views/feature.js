import { get } from "../api.js";
import { badge, crumbs, h, number, path, select, table, time } from "../dom.js";
import { distribution, quantiles, timeline } from "../plots.js";
import { evidence } from "./evidence.js";
import { featureHref } from "./model.js";
import { askRows, rowTables } from "./rows.js";

const FIRST = ["drift", "psi", "ks", "js", "wasserstein", "chi2", "new_category_share"];
const DESCRIBED = ["mean", "std", "min", "max", "p01", "p05", "p25", "p50", "p75", "p95", "p99", "missing_share", "count"];
const WINDOWS = 120, PLOTTED = 4, SHARES_DRAWN = 5, SHARES_ASKED = 10;

export async function featureView(model, feature, params, page) {
  const version = params.get("version") ?? "", segment = params.get("segment") ?? "";
  const { rows: windows } = await get(["models", model, "windows"], { limit: 60 });
  const head = [crumbs([model, path("models", model)], [feature]), h("h1", {}, feature)];
  if (!windows.length) return [...head, h("p", { class: "dim" }, "No window yet.")];
  const start = Number(params.get("start") ?? windows[0].start_ms);
  const subjects = (await get(["models", model, "windows", start, "subjects"])).rows.filter((s) => s.subject === feature);
  const mine = subjects.find((s) => s.version === version && s.segment === segment) ?? subjects.find((s) => s.segment === "") ?? subjects[0];
  const go = (changed) => page.go(featureHref(model, feature, { version: mine?.version, segment: mine?.segment, start, ...changed }));
  const times = windows.map((w) => w.start_ms);
  if (!times.includes(start)) times.push(start);
  const chooser = choose(subjects, mine, times, start, go);
  if (!mine) return [...head, chooser, h("p", { class: "dim" }, `The window of ${time(start)} has no ${feature}.`)];
  const q = { version: mine.version, segment: mine.segment, subject: feature };
  const has = (n) => n in mine.scores, shares = Object.keys(mine.scores).filter((n) => n.startsWith("share:"));
  shares.sort((a, b) => mine.scores[b].value - mine.scores[a].value);
  const names = [...FIRST.filter(has), ...Object.keys(mine.scores).filter((n) => !FIRST.includes(n) && !DESCRIBED.includes(n) && !shares.includes(n))];
  const described = [...DESCRIBED.filter(has), ...shares.slice(0, SHARES_ASKED)], plotted = names.slice(0, PLOTTED);
  const asked = [...new Set([...plotted, ...described])];
  const [found, ...pieces] = await Promise.all([
    get(["models", model, "windows", start, "distribution"], { ...q, or_none: true }),
    ask(model, q, asked.slice(0, 20)), ask(model, q, asked.slice(20)),
    get(["models", model, "scores"], { ...q, from_ms: start, to_ms: start + 1, limit: 200 }), askRows(model, start, q.version),
  ]);
  const [one, two, scores, rows] = pieces;
  const line = { times: one.times, series: { ...one.series, ...two.series } };
  const look = { marks: [{ at: start, kind: "window" }] };
  const judged = names.map((n) => [n, number(mine.scores[n].value), number(mine.scores[n].threshold),
    mine.scores[n].rule ? badge(mine.scores[n].level) : "–", number(mine.scores[n].rows), mine.scores[n].rule || "–"]);
  const beside = [...DESCRIBED.filter(has), ...shares].map((n) => {
    const value = mine.scores[n].value, base = referenceAt(line, n, start);
    return [n, number(value), number(base), value === null || base === null || n === "count" ? "–" : number(value - base), number(mine.scores[n].rows)];
  });
  return [...head, chooser,
    found.kind !== "none" ? distribution(found) : h("p", { class: "dim" }, "Retention took what this window was made of; its scores are kept."),
    h("h2", {}, "Over time"),
    h("div", { class: "grid" }, compared(line, shares, look, mine.reference),
      plotted.map((name) => timeline(name, line.times, [{ name, values: line.series[name].values, levels: line.series[name].levels }], { ...look, limit: line.series[name].limit }))),
    h("h2", {}, "This window"),
    table(`${feature} against ${mine.reference || "nothing yet"}, window of ${time(start)}`, ["score", ">value", ">limit", "level", ">rows", "judged by"], judged),
    beside.length ? [h("h2", {}, "What describes it"), table("The window beside its reference", ["score", ">window", ">reference", ">difference", ">rows"], beside)] : null,
    ...scores.rows.filter((r) => Object.keys(r.evidence).length).map((r) => [h("h2", {}, `Evidence of ${r.score}`), evidence(r.evidence)]).flat(),
    ...rowTables(rows, feature),
  ];
}

const ask = (model, q, names) => (names.length ? get(["models", model, "timeline"], { ...q, score: names, windows: WINDOWS }) : { times: [], series: {} });

function referenceAt(line, name, start) {
  return line.series[name]?.reference[line.times.indexOf(start)] ?? null;
}

function choose(subjects, mine, times, start, go) {
  const groups = subjects.map((s) => [s.version, s.segment]), unique = (list) => [...new Set(list)];
  const at = times.indexOf(start);
  const step = (text, to) => h("button", { type: "button", disabled: to === undefined, onclick: () => go({ start: to }) }, text);
  return h("div", { class: "row" },
    mine ? select("Version", "version", unique(groups.map((g) => g[0])).map((v) => [v, v || "(none)"]), mine.version, (v) => go({ version: v })) : null,
    mine ? select("Segment", "segment", unique(groups.filter((g) => g[0] === mine.version).map((g) => g[1])).map((s) => [s, s || "all rows"]), mine.segment, (v) => go({ segment: v })) : null,
    select("Window", "start", times.map((t) => [String(t), time(t)]), String(start), (v) => go({ start: v })),
    step("Older", times[at + 1]), step("Newer", times[at - 1]));
}

// quantiles or shares of every window and of the reference that it was compared with
function compared(line, shares, look, reference) {
  const of = (name, what = "values") => line.series[name]?.[what] ?? [];
  if (line.series.p50) return quantiles("Values", line, look);
  if (!shares.length) return null;
  const series = shares.slice(0, SHARES_DRAWN).map((name) => ({ name: name.slice(6), values: of(name), reference: [of(name, "reference")] }));
  return timeline(`Shares${reference ? "; dashed, of the reference" : ""}`, line.times, series, { ...look, share: true });
}
