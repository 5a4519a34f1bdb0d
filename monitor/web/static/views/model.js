import { get } from "../api.js";
import { LEVELS, badge, crumbs, h, number, path, select, table, time } from "../dom.js";
import { heatmap, timeline } from "../plots.js";

const QUALITY = { regression: "mae", ranking: "ndcg", quantile: "pinball", multilabel: "f1_micro" };
const NOT_FEATURES = new Set(["performance", "estimated_performance", "target", "latency", "traffic", "labels", "concept", "quality"]);
const WINDOWS = 120;

export async function modelView(model, params, page) {
  const [about, windows] = await Promise.all([get(["models", model]), get(["models", model, "windows"], { limit: 1 })]);
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
  const ask = (subject, ...scores) => get(["models", model, "timeline"], { ...q, subject, scores: scores.join(",") });
  const [perf, est, lag, traffic, matrix, alerts, retrains] = await Promise.all([
    ask("performance", metric, `${metric}_low`, `${metric}_high`), ask("estimated_performance", metric, `${metric}_low`, `${metric}_high`),
    ask("latency", "latency_p50_ms", "latency_p95_ms", "latency_p99_ms"), ask("traffic", "throughput_eps", "error_share"),
    get(["models", model, "matrix"], { ...q, score }), get(["alerts"], { model, limit: 50 }), get(["retrains"], { model, limit: 20 }),
  ]);
  const go = (changed) => page.go(`${path("models", model)}?${new URLSearchParams({ version, segment, metric, score, ...changed })}`);
  const metrics = Object.keys((here.find((s) => s.subject === "performance") || { scores: {} }).scores).filter((m) => !/_(low|high)$/.test(m));
  const scores = [...new Set(here.filter((s) => !NOT_FEATURES.has(s.subject)).flatMap((s) => Object.keys(s.scores)))].sort();
  const marks = [
    ...alerts.rows.filter((a) => a.status !== "pending").map((a) => ({ at: a.since_ms, text: `alert ${a.subject} ${a.score}`, kind: "alert" })).slice(0, 8),
    ...retrains.rows.filter((r) => r.started_ms > 0).map((r) => ({ at: r.started_ms, text: `retrain ${r.status}`, kind: "retrain" })),
  ];
  return [
    ...head, cards(about, last, here),
    h("div", { class: "row" },
      select("Version", "version", [...new Set(groups.map((g) => g[0]))].map((v) => [v, v || "(none)"]), version, (v) => go({ version: v })),
      select("Segment", "segment", groups.filter((g) => g[0] === version).map((g) => [g[1], g[1] || "all rows"]), segment, (v) => go({ segment: v })),
      metrics.length ? select("Metric", "metric", metrics.map((m) => [m, m]), metric, (v) => go({ metric: v })) : null,
      select("Heatmap", "score", scores.map((m) => [m, m]), score, (v) => go({ score: v }))),
    h("div", { class: "grid" },
      performance(perf, est, metric, marks),
      timeline("Latency, ms", lag.times, ["p50", "p95", "p99"].map((p) => ({ name: p, values: lag.series[`latency_${p}_ms`].values })), { marks }),
      timeline("Events a second", traffic.times, [{ name: "events/s", values: traffic.series.throughput_eps.values }], { marks }),
      timeline("Share of errors", traffic.times, [{ name: "errors", values: traffic.series.error_share.values, colour: "--breach" }])),
    h("h2", {}, `${score} of every feature`), heatmap(`${score} by window`, matrix, (subject, start) => featureHref(model, subject, { version, segment, start })),
    h("h2", {}, "The last window"), subjectTable(model, here, { version, segment, start: last.start_ms }),
    h("h2", {}, "Alerts"), alertTable(alerts.rows.slice(0, 12)),
  ];
}

function bestVersion(subjects) {
  const rows = subjects.filter((s) => s.subject === "traffic" && s.segment === "").map((s) => [s.scores.rows ? s.scores.rows.value : 0, s.version]);
  return rows.sort((a, b) => b[0] - a[0])[0]?.[1] ?? subjects[0]?.version ?? "";
}

function cards(about, last, here) {
  const of = (subject, score) => here.find((s) => s.subject === subject)?.scores[score]?.value;
  const card = (title, value) => h("div", { class: "card" }, h("b", {}, value), h("span", {}, title));
  return h("div", { class: "cards" }, card(`rows, window of ${time(last.start_ms)}`, number(last.rows)), card("labelled rows", number(last.labelled_rows)),
    card("rows that came too late", number(last.late_rows)), card("events a second", number(of("traffic", "throughput_eps"))),
    card("task", about.task), card("reference", last.reference || "none"));
}

function performance(perf, est, metric, marks) {
  const times = [...new Set([...perf.times, ...est.times])].sort((a, b) => a - b);
  const on = (found, name) => { const m = new Map(found.times.map((t, i) => [t, found.series[name]?.values[i] ?? null])); return times.map((t) => m.get(t) ?? null); };
  const some = (v) => v.some((x) => x !== null);
  const series = [{ name: metric, values: on(perf, metric), low: on(perf, `${metric}_low`), high: on(perf, `${metric}_high`) }];
  if (!some(series[0].low)) delete series[0].low;
  const guess = on(est, metric);
  if (some(guess)) series.push({ name: `${metric}, estimated`, values: guess, dash: true, low: some(on(est, `${metric}_low`)) ? on(est, `${metric}_low`) : null, high: on(est, `${metric}_high`), colour: "--unsure" });
  const limit = perf.series[metric]?.limit ?? null;
  return timeline(`${metric}: from labels${series.length > 1 ? ", and estimated before they come" : ""}`, times, series, { marks, limit });
}

export const featureHref = (model, subject, q) => `${path("models", model, "features", subject)}?${new URLSearchParams(Object.entries(q).filter(([, v]) => v !== undefined))}`;

function subjectTable(model, here, q) {
  const worst = (s) => LEVELS.indexOf(s.level);
  const rows = [...here].sort((a, b) => worst(b) - worst(a) || (a.subject < b.subject ? -1 : 1)).map((s) => {
    const judged = Object.entries(s.scores).filter(([, v]) => v.rule).sort((a, b) => LEVELS.indexOf(b[1].level) - LEVELS.indexOf(a[1].level));
    const plain = Object.entries(s.scores).filter(([, v]) => !v.rule);
    const shown = [...judged, ...plain].slice(0, 5).map(([name, v]) => [name, " ", number(v.value), v.threshold === null ? "" : ` (limit ${number(v.threshold)})`, h("br")]);
    return [NOT_FEATURES.has(s.subject) ? s.subject : h("a", { href: featureHref(model, s.subject, q) }, s.subject), badge(s.level), shown, s.reference || "–"];
  });
  return table(`${rows.length} subjects, the worst first`, ["subject", "level", "scores", "against"], rows);
}

export function alertTable(rows) {
  return table(`${rows.length} alerts`, ["alert", "status", "severity", "rule", "model", "subject", "score", ">value", ">limit", "since"],
    rows.map((a) => [h("a", { href: path("alerts", a.alert) }, a.alert.slice(0, 8)), badge(a.status), a.severity, a.rule, a.model,
      a.segment ? `${a.subject} [${a.segment}]` : a.subject, a.score, number(a.value), number(a.threshold), time(a.since_ms)]), "No alert.");
}
