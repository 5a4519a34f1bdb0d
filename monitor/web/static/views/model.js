import { get } from "../api.js";
import { LEVELS, badge, crumbs, h, many, number, path, select, table, time, words } from "../dom.js";
import { heatmap } from "../heatmap.js";
import { marked, quantiles, reliability, timeline } from "../plots.js";
import { alertTable } from "./alerts.js";

const QUALITY = { regression: "mae", ranking: "ndcg_at_k", quantile: "pinball", multilabel: "subset_accuracy" };
const NOT_FEATURES = new Set(["performance", "estimated_performance", "target", "target_estimated", "latency", "traffic", "labels", "concept", "quality", "schema"]);
const WINDOWS = 120, OTHER_VERSIONS = 3, MARKS = 8, SCORES_SHOWN = 5;

export async function modelView(model, params, page) {
  const [about, windows] = await Promise.all([get(["models", model]), get(["models", model, "windows"], { limit: WINDOWS })]);
  const last = windows.rows[0];
  const head = [crumbs([model]), h("h1", {}, model)];
  if (!last) return [...head, h("p", { class: "dim" }, "No window of this model is published yet.")];
  const subjects = (await get(["models", model, "windows", last.start_ms, "subjects"])).rows;
  const groups = [...new Set(subjects.map((s) => JSON.stringify([s.version, s.segment])))].map((g) => JSON.parse(g));
  const version = params.get("version") ?? bestVersion(subjects), segment = params.get("segment") ?? "";
  const here = subjects.filter((s) => s.version === version && s.segment === segment);
  const metric = params.get("metric") ?? QUALITY[about.task] ?? "accuracy";
  const score = params.get("score") ?? "drift";
  const q = { version, segment, windows: WINDOWS };
  const ask = (subject, names, more = {}) => get(["models", model, "timeline"], { ...q, subject, score: names, ...more });
  const [alerts, retrains, perf, est, lag, traffic, pred, matrix] = await Promise.all([
    get(["alerts"], { model, limit: 50 }), get(["retrains"], { model, limit: 20 }),
    ask("performance", [metric, `${metric}_low`, `${metric}_high`]), ask("estimated_performance", [metric, `${metric}_low`, `${metric}_high`]),
    ask("latency", ["latency_p50_ms", "latency_p95_ms", "latency_p99_ms"]), ask("traffic", ["throughput_eps", "error_share"]),
    ask("prediction", ["p05", "p25", "p50", "p75", "p95"]), get(["models", model, "matrix"], { ...q, score }),
  ]);
  const known = [...groups.map((g) => g[0]), ...alerts.rows.map((a) => a.version), ...retrains.rows.flatMap((r) => [r.version, r.new_version])];
  const calibrated = await curveOf(model, perf, metric, { version, segment });
  const others = [...new Set(known)].filter((v) => v && v !== version).slice(0, OTHER_VERSIONS);
  const beside = await Promise.all(others.map(async (v) => [v, await ask("performance", [metric], { version: v })]));
  const go = (changed) => page.go(`${path("models", model)}?${new URLSearchParams({ version, segment, metric, score, ...changed })}`);
  const metrics = Object.keys((here.find((s) => s.subject === "performance") || { scores: {} }).scores).filter((m) => !/_(low|high)$/.test(m));
  if (!metrics.includes(metric)) metrics.unshift(metric);
  const scores = [...new Set(here.filter((s) => !NOT_FEATURES.has(s.subject)).flatMap((s) => Object.keys(s.scores)))].filter((n) => !n.startsWith("share:")).sort();
  const range = [windows.rows[windows.rows.length - 1].start_ms, last.start_ms];
  const marks = [
    ...alerts.rows.filter((a) => a.status !== "pending").slice(0, MARKS).map((a) => ({ at: a.since_ms, kind: "alert", text: `${a.rule}: ${a.subject} ${a.score} (${a.status})`, href: path("alerts", a.alert) })),
    ...retrains.rows.filter((r) => r.started_ms > 0).slice(0, MARKS).map((r) => ({ at: r.started_ms, kind: "retrain", text: `retrain ${words(r.verdict || r.status)}`, href: path("retrains", r.id) })),
  ];
  const look = { marks, range, step: about.slide_ms }, shown = marked(marks, range);
  const levels = (found, name) => found.series[name].levels;
  return [
    ...head, h("p", { class: "dim" }, `${about.task} · windows of ${number(about.window_ms / 1000)} s · reference ${last.reference || "none"}`), cards(last, here),
    h("div", { class: "row" },
      select("Version", "version", [...new Set([...groups.map((g) => g[0]), ...others, version])].map((v) => [v, v || "(none)"]), version, (v) => go({ version: v })),
      select("Segment", "segment", [...new Set([segment, ...groups.filter((g) => g[0] === version).map((g) => g[1])])].sort().map((s) => [s, s || "all rows"]), segment, (v) => go({ segment: v })),
      select("Metric", "metric", metrics.map((m) => [m, m]), metric, (v) => go({ metric: v })),
      select("Heatmap", "score", [...new Set([score, ...scores])].map((m) => [m, m]), score, (v) => go({ score: v }))),
    h("div", { class: "grid" },
      performance(perf, est, beside, metric, version, look),
      timeline("Latency", lag.times, ["p50", "p95", "p99"].map((p) => ({ name: p, values: lag.series[`latency_${p}_ms`].values, levels: levels(lag, `latency_${p}_ms`) })), { ...look, unit: " ms" }),
      timeline("Events a second", traffic.times, [{ name: "events/s", values: traffic.series.throughput_eps.values }], look),
      timeline("Share of errors", traffic.times, [{ name: "errors", values: traffic.series.error_share.values, levels: levels(traffic, "error_share") }], { ...look, share: true }),
      pred.times.length ? quantiles("Predictions", pred, look) : null, calibrated),
    shown,
    h("h2", {}, `${score} of every feature`), heatmap(`${score} by window`, matrix, (subject, start) => featureHref(model, subject, { version, segment, start })),
    h("h2", {}, "The last window"), here.length ? subjectTable(model, here, { version, segment, start: last.start_ms }) : h("p", { class: "dim" }, `It has no rows of version ${version}${segment ? ` and segment ${segment}` : ""}.`),
    h("h2", {}, "Alerts"), alertTable(alerts.rows.slice(0, 12)),
  ];
}

// the reliability curve of the newest window that has labels; null where its scores are no probabilities
async function curveOf(model, perf, metric, group) {
  const at = perf.times.findLast((_, i) => (perf.series[metric]?.values[i] ?? null) !== null);
  if (at === undefined) return null;
  const found = (await get(["models", model, "scores"], { ...group, subject: "performance", from_ms: at, to_ms: at + 1, limit: 500 })).rows;
  const curves = found.filter((s) => s.evidence?.reliability_curve).sort((a, b) => a.score.length - b.score.length);
  return curves.length ? reliability(`Reliability, ${curves[0].score} ${number(curves[0].value)}, ${many(curves[0].rows, "labelled row")} of ${time(at)}`, curves[0].evidence.reliability_curve) : null;
}

function bestVersion(subjects) {
  const rows = subjects.filter((s) => s.subject === "traffic" && s.segment === "").map((s) => [s.scores.rows ? s.scores.rows.value : 0, s.version]);
  return rows.sort((a, b) => b[0] - a[0])[0]?.[1] ?? subjects[0]?.version ?? "";
}

function cards(last, here) {
  const of = (subject, score) => here.find((s) => s.subject === subject)?.scores[score]?.value;
  const card = (title, value) => h("div", { class: "card" }, h("b", {}, value), h("span", {}, title));
  return h("div", { class: "cards" }, card("last window", time(last.start_ms).slice(11)), card("rows", number(last.rows)), card("of these labelled", number(last.labelled_rows)),
    card("came too late", number(last.late_rows)), card("events a second", number(of("traffic", "throughput_eps"))));
}

function performance(perf, est, beside, metric, version, look) {
  const times = [...new Set([perf, est, ...beside.map((b) => b[1])].flatMap((f) => f.times))].sort((a, b) => a - b);
  const on = (found, name, what = "values") => { const m = new Map(found.times.map((t, i) => [t, found.series[name]?.[what][i] ?? null])); return times.map((t) => m.get(t) ?? null); };
  const some = (v) => v.some((x) => x !== null);
  const name = beside.length ? `version ${version}` : metric;
  const series = [{ name, values: on(perf, metric), levels: on(perf, metric, "levels"), low: on(perf, `${metric}_low`), high: on(perf, `${metric}_high`), colour: "--accent" }];
  if (!some(series[0].low)) delete series[0].low;
  const guess = on(est, metric);
  if (some(guess)) series.push({ name: "estimated", values: guess, dash: true, low: some(on(est, `${metric}_low`)) ? on(est, `${metric}_low`) : null, high: on(est, `${metric}_high`), colour: "--unsure" });
  beside.forEach(([v, found], i) => { if (some(on(found, metric))) series.unshift({ name: `version ${v}`, values: on(found, metric), levels: on(found, metric, "levels"), thin: true, colour: ["--second", "--third", "--fourth"][i] }); });
  return timeline(`${metric}, from labels${some(guess) ? "; estimated before they come" : ""}`, times, series, { ...look, limit: perf.series[metric]?.limit ?? null });
}

export const featureHref = (model, subject, q) => `${path("models", model, "features", subject)}?${new URLSearchParams(Object.entries(q).filter(([, v]) => v !== undefined))}`;

function subjectTable(model, here, q) {
  const worst = (s) => LEVELS.indexOf(s.level);
  const rows = [...here].sort((a, b) => worst(b) - worst(a) || (a.subject < b.subject ? -1 : 1)).map((s) => {
    const judged = Object.entries(s.scores).filter(([, v]) => v.rule).sort((a, b) => LEVELS.indexOf(b[1].level) - LEVELS.indexOf(a[1].level));
    const rest = Object.entries(s.scores).filter(([, v]) => !v.rule);
    const shown = [...judged, ...rest].slice(0, SCORES_SHOWN).map(([name, v]) => h("li", {}, name, " ", h("b", {}, number(v.value)), v.threshold === null ? "" : ` (limit ${number(v.threshold)})`));
    return [NOT_FEATURES.has(s.subject) ? s.subject : h("a", { href: featureHref(model, s.subject, q) }, s.subject), badge(s.level), h("ul", { class: "scores" }, shown), s.reference || "–"];
  });
  return table(`${many(rows.length, "subject")}, the worst first`, ["subject", "level", "scores", "against"], rows);
}
