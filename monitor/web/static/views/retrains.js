import { get, post } from "../api.js";
import { badge, crumbs, h, number, path, table, time, toast } from "../dom.js";
import { evidence } from "./feature.js";

const KIND = { proposed: "warn", waiting: "warn", due: "warn", started: "warn", succeeded: "ok", failed: "breach", blocked: "breach", helped: "ok", not_helped: "breach" };
const mark = (text) => (text ? badge(text, KIND[text] || "unsure") : "–");

export async function retrainsView() {
  const { rows } = await get(["retrains"], { limit: 200 });
  return [h("h1", {}, "Retrains"), table(`${rows.length} retrains, newest first`, ["id", "requested", "model", "version", "status", "verdict", "new version", "why"],
    rows.map((r) => [h("a", { href: path("retrains", r.id) }, r.id.slice(0, 8)), time(r.requested_ms), r.model, r.version, mark(r.status), mark(r.verdict), r.new_version || "–", r.request.reason || r.reason]),
    "No retrain was ever asked for.")];
}

export async function retrainView(id, params, page) {
  const r = await get(["retrains", id]);
  const author = h("input", { name: "author" }), comment = h("input", { name: "comment" });
  const act = async (what, said) => {
    try { await post(["retrains", r.id, what], { author: author.value, comment: comment.value }); toast(said); } catch (error) { toast(error.message); }
    page.refresh();
  };
  const button = (what, text, said, main) => h("button", { type: "button", class: main ? "main" : null, onclick: () => act(what, said) }, text);
  const acts = r.status === "proposed" ? [button("approve", "Approve", "It may begin.", true), button("reject", "Reject", "It is rejected.")]
    : r.reference && r.status === "succeeded" ? [button("reference", `Use reference ${r.reference}`, "It is the reference now.")] : [];
  const v = r.verdict_detail;
  const facts = [["model", h("a", { href: path("models", r.model) }, r.model)], ["version", r.version || "–"], ["why", r.request.reason], ["requested", time(r.requested_ms)],
    ["decided by", r.author || "–"], ["started", time(r.started_ms)], ["finished", time(r.finished_ms)], ["run", r.run_url && /^https?:/.test(r.run_url) ? h("a", { href: r.run_url, target: "_blank", rel: "noreferrer noopener" }, r.run || r.run_url) : r.run || "–"],
    ["error", r.error || "–"], ["new version", r.new_version || "–"],
    ["verdict", v && v.metric ? `${v.metric} ${number(v.before)} → ${number(v.after)} over ${v.windows} windows: ${r.verdict.replace("_", " ")}` : r.verdict || "not judged yet"]];
  return [crumbs(["Retrains", "/retrains"], [r.id.slice(0, 8)]), h("h1", {}, `Retrain of ${r.model} `, mark(r.status), " ", r.verdict ? mark(r.verdict) : null),
    table("What was asked and what came of it", ["", ""], facts),
    acts.length ? h("div", { class: "row" }, h("label", {}, "You", author), h("label", {}, "Why", comment), acts) : null,
    h("h2", {}, "Evidence"), evidence(r.request.evidence), h("h2", {}, "Lineage and rows"), h("pre", { tabindex: 0 }, JSON.stringify({ lineage: r.request.lineage, rows: r.request.rows }, null, 2))];
}
