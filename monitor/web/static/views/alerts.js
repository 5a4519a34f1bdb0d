import { get, post, remove } from "../api.js";
import { badge, crumbs, h, number, path, select, table, time, toast } from "../dom.js";
import { evidence } from "./feature.js";
import { alertTable, featureHref } from "./model.js";

const OPEN = ["firing", "acknowledged", "pending"];

async function act(page, work, said) {
  try { await work(); toast(said); } catch (error) { toast(error.message); }
  page.refresh();
}

export async function alertsView(params, page) {
  const chosen = params.get("status") ?? "open", model = params.get("model") ?? "";
  const q = { limit: 200, status: chosen === "open" ? OPEN : chosen === "all" ? [] : [chosen], ...(model ? { model } : {}) };
  const [found, silences, models] = await Promise.all([get(["alerts"], q), get(["silences"]), get(["models"])]);
  const go = (changed) => page.go(`/alerts?${new URLSearchParams({ status: chosen, model, ...changed })}`);
  return [h("h1", {}, "Alerts"),
    h("div", { class: "row" },
      select("Status", "status", [["open", "open"], ["all", "all"], ...["firing", "acknowledged", "pending", "resolved"].map((s) => [s, s])], chosen, (v) => go({ status: v })),
      select("Model", "model", [["", "all"], ...models.rows.map((m) => [m.model, m.model])], model, (v) => go({ model: v }))),
    alertTable(found.rows), found.next ? h("p", { class: "dim" }, "There are more; choose a model or a status.") : null,
    h("h2", {}, "Silences"), silenceTable(silences.rows.filter((s) => s.state !== "expired"), page), silenceForm(page, model)];
}

function silenceTable(rows, page) {
  return table(`${rows.length} silences`, ["id", "state", "matches", "until", "by", "reason", ""], rows.map((s) => [
    s.id, badge(s.state, s.state === "active" ? "warn" : "unsure"), Object.entries(s.matchers).map(([k, v]) => `${k}=${v}`).join(", "), time(s.ends_ms), s.author, s.reason,
    h("button", { type: "button", onclick: () => act(page, () => remove(["silences", s.id]), "The silence is over.") }, "End it"),
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

export async function alertView(name, params, page) {
  const d = await get(["alerts", name]), a = d.alert;
  const found = Object.keys(a.evidence).length ? a.evidence : (d.history.find((x) => Object.keys(x.evidence).length) || { evidence: {} }).evidence;
  const comment = h("input", { name: "comment", placeholder: "what you will do" }), author = h("input", { name: "author" });
  const words = () => ({ author: author.value, comment: comment.value });
  const acts = a.status === "firing"
    ? h("button", { type: "button", class: "main", onclick: () => act(page, () => post(["alerts", a.alert, "ack"], words()), "It is yours.") }, "Acknowledge")
    : a.status === "acknowledged" ? h("button", { type: "button", onclick: () => act(page, () => post(["alerts", a.alert, "unack"], words()), "It fires again.") }, "Give back") : null;
  const facts = [["rule", `${a.rule} (${a.severity})`], ["value", `${number(a.value)}, limit ${number(a.threshold)}, ${number(a.rows)} rows`],
    ["since", time(a.since_ms)], ["reason", a.reason], ["against", a.reference || "–"], ["version", a.version || "–"], ["segment", a.segment || "all rows"]];
  return [crumbs(["Alerts", "/alerts"], [a.alert.slice(0, 8)]),
    h("h1", {}, `${a.model}: ${a.subject} ${a.score} `, badge(a.status)),
    h("p", {}, h("a", { href: featureHref(a.model, a.subject, { version: a.version, segment: a.segment, start: a.window_start_ms }) }, "the feature in that window"), " · ", h("a", { href: path("models", a.model) }, "the model")),
    table("What fired", ["", ""], facts), d.ack ? h("p", {}, badge("acknowledged"), ` by ${d.ack.author}: ${d.ack.comment}`) : null,
    d.silences.map((s) => h("p", {}, badge("silenced", "warn"), ` until ${time(s.ends_ms)} by ${s.author}: ${s.reason}`)),
    acts ? h("div", { class: "row" }, h("label", {}, "You", author), h("label", {}, "Comment", comment), acts) : null,
    h("h2", {}, "Evidence"), evidence(found),
    h("h2", {}, "History"), table("Moves, newest first", ["window", "status", "reason", ">value", ">revision"], d.history.map((x) => [time(x.window_start_ms), badge(x.status), x.reason, number(x.value), number(x.revision)])),
    h("h2", {}, "Trail"), table("Who did what", ["at", "what", "who", "why"], d.audit.map((x) => [time(x.at_ms), x.kind, x.author, x.reason]), "Nobody did anything yet."),
    h("h2", {}, "Messages"), table("What was sent where", ["made", "channel", "state", ">attempts", "error"], d.sent.map((x) => [time(x.created_ms), x.channel, x.state, number(x.attempts), x.error]), "No message."),
    h("h2", {}, "Silence it"), silenceForm(page, a.model, a.subject)];
}
