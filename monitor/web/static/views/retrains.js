import { get, mayAct, post } from "../api.js";
import { badge, crumbs, facts, h, many, number, path, table, toast, when, words } from "../dom.js";
import { timeline } from "../plots.js";
import { onlyReads } from "./alerts.js";
import { evidence } from "./evidence.js";

const KIND = { proposed: "warn", waiting: "warn", due: "warn", started: "warn", succeeded: "ok", failed: "breach", blocked: "breach", helped: "ok", not_helped: "breach" };
const mark = (text) => (text ? badge(text, KIND[text] || "unsure") : "–");

export async function retrainsView() {
  const { rows } = await get(["retrains"], { limit: 200 });
  return [h("h1", {}, "Retrains"), table(`${many(rows.length, "retrain")}, newest first`, ["id", "requested", "model", "version", "status", "verdict", "new version", "why"],
    rows.map((r) => [h("a", { href: path("retrains", r.id) }, r.id.slice(0, 8)), when(r.requested_ms), r.model, r.version || "–", mark(r.status), mark(r.verdict), r.new_version || "–", words(r.request.reason || r.reason)]),
    "No retrain was ever asked for.")];
}

export async function retrainView(id, params, page) {
  const [r, may] = await Promise.all([get(["retrains", id]), mayAct()]);
  const author = h("input", { name: "author" }), comment = h("input", { name: "comment" });
  const act = async (what, said) => {
    try { await post(["retrains", r.id, what], { author: author.value, comment: comment.value }); toast(said); } catch (error) { toast(error.message); }
    page.refresh();
  };
  const button = (what, text, said, main) => h("button", { type: "button", class: main ? "main" : null, onclick: () => act(what, said) }, text);
  const acts = r.status === "proposed" ? [button("approve", "Approve", "It may begin.", true), button("reject", "Reject", "It is rejected.")]
    : r.reference && r.status === "succeeded" ? [button("reference", `Use reference ${r.reference}`, "It is the reference now.")] : [];
  const v = r.verdict_detail, run = r.run_url && /^https?:/.test(r.run_url) ? h("a", { href: r.run_url, target: "_blank", rel: "noreferrer noopener" }, r.run || r.run_url) : r.run || "–";
  const judged = v && v.metric ? `${v.metric} ${number(v.before)} → ${number(v.after)} over ${many(v.windows, "window")}: ${words(r.verdict)}` : words(r.verdict) || "not judged yet";
  return [crumbs(["Retrains", "/retrains"], [r.id.slice(0, 8)]), h("h1", {}, `Retrain of ${r.model} `, mark(r.status), " ", r.verdict ? mark(r.verdict) : null),
    facts("What was asked and what came of it", [["model", h("a", { href: path("models", r.model) }, r.model)], ["version", r.version || "–"], ["why", words(r.request.reason)], ["requested", when(r.requested_ms)],
      ["decided by", r.author ? `${r.author}${r.reason ? `: ${r.reason}` : ""}` : "–"], ["started", when(r.started_ms)], ["finished", when(r.finished_ms)], ["run", run], ["error", r.error || "–"],
      ["new version", r.new_version || "–"], ["verdict", judged]]),
    acts.length ? (may ? h("div", { class: "row" }, h("label", {}, "You", author), h("label", {}, "Why", comment), acts) : onlyReads()) : null,
    await versions(r, v),
    h("h2", {}, "Evidence"), evidence(r.request.evidence), h("h2", {}, "Lineage and rows"),
    h("pre", { tabindex: 0, role: "region", "aria-label": "Lineage and rows" }, JSON.stringify({ lineage: r.request.lineage, rows: r.request.rows }, null, 2))];
}

// the metric of the old and the new version, on the time axis of the windows
async function versions(r, v) {
  const metric = v?.metric ?? r.request.metric;
  if (!metric) return null;
  const names = [...new Set([r.version, r.new_version])].filter(Boolean);
  if (!(await get(["models"])).rows.some((m) => m.model === r.model)) return null;
  const found = await Promise.all(names.map((version) => get(["models", r.model, "timeline"], { version, subject: "performance", score: [metric, `${metric}_low`, `${metric}_high`] })));
  const lines = names.map((name, i) => [name, found[i]]).filter(([, f]) => f.times.length);
  if (!lines.length) return null;
  const times = [...new Set(lines.flatMap(([, f]) => f.times))].sort((a, b) => a - b);
  const on = (f, name) => { const m = new Map(f.times.map((t, i) => [t, f.series[name].values[i]])); return times.map((t) => m.get(t) ?? null); };
  const series = lines.map(([name, f], i) => ({ name: `version ${name}`, values: on(f, metric), low: on(f, `${metric}_low`), high: on(f, `${metric}_high`), colour: i ? "--accent" : "--second" }));
  const marks = [[r.started_ms, "retrain"]].filter(([at]) => at > 0).map(([at, kind]) => ({ at, kind }));
  return timeline(`${metric} of both versions`, times, series, { marks });
}
