import { get, mayAct, post, remove } from "../api.js";
import { badge, crumbs, facts, h, many, number, path, select, table, time, toast, when, words } from "../dom.js";
import { distribution, timeline } from "../plots.js";
import { evidence } from "./evidence.js";
import { featureHref } from "./model.js";

const OPEN = ["firing", "acknowledged", "pending"], ORDER = ["firing", "acknowledged", "pending", "resolved"];

async function act(page, work, said) {
  try { await work(); toast(said); } catch (error) { toast(error.message); }
  page.refresh();
}

export async function alertsView(params, page) {
  const chosen = params.get("status") ?? "open", model = params.get("model") ?? "";
  const q = { limit: 200, status: chosen === "open" ? OPEN : chosen === "all" ? [] : [chosen], ...(model ? { model } : {}) };
  const [found, silences, models, acts] = await Promise.all([get(["alerts"], q), get(["silences"]), get(["models"]), mayAct()]);
  const go = (changed) => page.go(`/alerts?${new URLSearchParams({ status: chosen, model, ...changed })}`);
  return [h("h1", {}, "Alerts"),
    h("div", { class: "row" },
      select("Status", "status", [["open", "open"], ["all", "all"], ...ORDER.map((s) => [s, s])], chosen, (v) => go({ status: v })),
      select("Model", "model", [["", "all"], ...models.rows.map((m) => [m.model, m.model])], model, (v) => go({ model: v }))),
    alertTable(found.rows, chosen === "open" ? "Nothing fires." : "No such alert."), found.next ? h("p", { class: "dim" }, "There are more; choose a model or a status.") : null,
    h("h2", {}, "Silences"), silenceTable(silences.rows.filter((s) => s.state !== "expired"), page, acts), acts ? silenceForm(page, model) : onlyReads()];
}

export const onlyReads = () => h("p", { class: "dim note" }, "Here you only read. Acting wants http.allow_actions: true, or a token with the scope act.");

function silenceTable(rows, page, acts) {
  return table(many(rows.length, "silence"), ["id", "state", "matches", "until", "by", "reason", ...(acts ? [""] : [])], rows.map((s) => [
    s.id, badge(s.state, s.state === "active" ? "warn" : "unsure"), Object.entries(s.matchers).map(([k, v]) => `${k}=${v}`).join(", "), when(s.ends_ms), s.author, s.reason,
    ...(acts ? [h("button", { type: "button", "aria-label": `End silence ${s.id}`, onclick: () => act(page, () => remove(["silences", s.id]), "The silence is over.") }, "End it")] : []),
  ]), "No silence is active or pending.");
}

function silenceForm(page, model, subject = "") {
  const field = (label, name, value, more = {}) => h("label", {}, label, h("input", { name, value, ...more }));
  const sent = (e) => {
    e.preventDefault();
    const f = new FormData(e.target), matchers = {};
    for (const name of ["model", "subject"]) if (f.get(name).trim()) matchers[name] = f.get(name).trim();
    const body = { matchers, ends_ms: Date.now() + Number(f.get("hours")) * 3600e3, author: f.get("author"), reason: f.get("reason") };
    document.activeElement.blur();
    act(page, () => post(["silences"], body), "It is silent.");
  };
  return h("form", { class: "row", onsubmit: sent, "aria-label": "New silence" }, field("Model (* for any)", "model", model, { required: true }),
    field("Subject", "subject", subject, { placeholder: "any" }), field("Hours", "hours", "2", { type: "number", min: "0.1", max: "8760", step: "any", required: true }),
    field("You", "author", ""), field("Reason", "reason", "", { required: true }), h("button", {}, "Silence"));
}

export function alertTable(rows, empty = "No alert.") {
  const sorted = [...rows].sort((a, b) => ORDER.indexOf(a.status) - ORDER.indexOf(b.status));
  return table(many(rows.length, "alert"), ["alert", "status", "severity", "rule", "model", "subject", "score", ">value", ">limit", "since"],
    sorted.map((a) => [h("a", { href: path("alerts", a.alert) }, a.alert.slice(0, 8)), badge(a.status), a.severity, a.rule, a.version ? `${a.model}, version ${a.version}` : a.model,
      a.segment ? `${a.subject} [${a.segment}]` : a.subject, a.score, number(a.value), number(a.threshold), when(a.since_ms)]), empty);
}

export async function alertView(name, params, page) {
  const d = await get(["alerts", name]), a = d.alert;
  const [plots, may] = await Promise.all([drawn(a), mayAct()]);
  const shown = Object.keys(a.evidence).length ? a.evidence : (d.history.find((x) => Object.keys(x.evidence).length) || { evidence: {} }).evidence;
  const comment = h("input", { name: "comment", placeholder: "what you will do" }), author = h("input", { name: "author" });
  const said = () => ({ author: author.value, comment: comment.value });
  const acts = a.status === "firing"
    ? h("button", { type: "button", class: "main", onclick: () => act(page, () => post(["alerts", a.alert, "ack"], said()), "It is yours.") }, "Acknowledge")
    : a.status === "acknowledged" ? h("button", { type: "button", onclick: () => act(page, () => post(["alerts", a.alert, "unack"], said()), "It fires again.") }, "Give back") : null;
  const link = featureHref(a.model, a.subject, { version: a.version, segment: a.segment, start: a.window_start_ms });
  return [crumbs(["Alerts", "/alerts"], [a.alert.slice(0, 8)]),
    h("h1", {}, `${a.model}: ${a.subject} ${a.score} `, badge(a.status)),
    facts("What fired", [["value", `${number(a.value)}, limit ${number(a.threshold)}, ${many(a.rows, "row")}`], ["reason", words(a.reason)],
      ["rule", `${a.rule} (${a.severity})`], ["since", when(a.since_ms)], ["model", h("a", { href: path("models", a.model) }, a.model)], ["version", a.version || "–"],
      ["segment", a.segment || "all rows"], ["against", a.reference || "–"], ...(plots.feature ? [["subject", h("a", { href: link }, `${a.subject} in that window`)]] : [])]),
    d.ack ? h("p", {}, badge("acknowledged"), ` by ${d.ack.author}: ${d.ack.comment}`) : null,
    d.silences.map((s) => h("p", {}, badge("silenced", "warn"), ` until ${time(s.ends_ms)} by ${s.author}: ${s.reason}`)),
    acts && may ? h("div", { class: "row" }, h("label", {}, "You", author), h("label", {}, "Comment", comment), acts) : null,
    may ? null : onlyReads(),
    plots.list.length ? h("div", { class: "grid" }, plots.list) : null,
    h("h2", {}, "Evidence"), evidence(shown),
    h("h2", {}, "History"), table("Moves, newest first", ["window", "status", "reason", ">value", ">revision"], d.history.map((x) => [when(x.window_start_ms), badge(x.status), words(x.reason), number(x.value), number(x.revision)])),
    h("h2", {}, "Trail"), table("Who did what", ["at", "what", "who", "why"], d.audit.map((x) => [when(x.at_ms), words(x.kind), x.author || "driftd", words(x.reason)]), "Nobody did anything yet."),
    h("h2", {}, "Messages"), table("What was sent where", ["made", "channel", "state", ">failed tries", "error"], d.sent.map((x) => [when(x.created_ms), x.channel, x.state, number(x.attempts), x.error || "–"]), "No message."),
    may ? [h("h2", {}, "Silence it"), silenceForm(page, a.model, a.subject)] : null];
}

// the score over time, and what the subject looked like in the window; nothing where the model or its panes are gone
async function drawn(a) {
  const q = { version: a.version ?? "", segment: a.segment ?? "" };
  if (!(await get(["models"])).rows.some((m) => m.model === a.model)) return { feature: false, list: [] };
  const [line, found] = await Promise.all([
    get(["models", a.model, "timeline"], { ...q, subject: a.subject, score: [a.score] }),
    get(["models", a.model, "windows", a.window_start_ms, "distribution"], { ...q, subject: a.subject, or_none: true })]);
  const mark = { at: a.since_ms, kind: "alert" }, one = line.series[a.score], shape = found.kind === "none" ? null : found;
  const list = [shape ? distribution(shape) : null,
    line.times.length ? timeline(`${a.subject} ${a.score}`, line.times, [{ name: a.score, values: one.values, levels: one.levels }], { limit: one.limit, marks: [mark] }) : null];
  return { feature: Boolean(shape), list: list.filter(Boolean) };
}
