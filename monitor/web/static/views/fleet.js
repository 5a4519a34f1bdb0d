import { get } from "../api.js";
import { ago, badge, h, many, number, path, table, time } from "../dom.js";

export async function fleetView() {
  const { rows } = await get(["models"]);
  const bad = (r) => [r.alerts, r.levels.breach || 0, r.levels.warn || 0];
  rows.sort((a, b) => bad(b)[0] - bad(a)[0] || bad(b)[1] - bad(a)[1] || bad(b)[2] - bad(a)[2] || (a.model < b.model ? -1 : 1));
  const count = (n, level) => (n ? badge(number(n), level) : h("span", { class: "dim" }, "0"));
  const cells = rows.map((r) => [
    h("a", { href: path("models", r.model) }, r.model), count(r.alerts, "firing"),
    count(r.levels.breach, "breach"), count(r.levels.warn, "warn"), count(r.levels.unsure, "unsure"),
    r.window ? h("span", { title: time(r.window.start_ms) }, ago(r.window.end_ms)) : "no window yet",
    r.window ? number(r.window.rows) : "–", r.window ? number(r.window.labelled_rows) : "–", r.window ? r.window.reference || "none" : "–",
  ]);
  const sum = (pick) => rows.reduce((n, r) => n + pick(r), 0);
  const card = (title, value, kind = "") => h("div", { class: `card ${kind}` }, h("b", {}, number(value)), h("span", {}, title));
  const firing = sum((r) => r.alerts), breaching = rows.filter((r) => r.levels.breach).length;
  return [h("h1", {}, "Fleet"),
    h("div", { class: "cards" }, card(rows.length === 1 ? "model" : "models", rows.length), card(firing === 1 ? "alert fires" : "alerts fire", firing, firing ? "bad" : ""),
      card(breaching === 1 ? "model has a breach" : "models have a breach", breaching, breaching ? "bad" : ""), card("have no window yet", rows.filter((r) => !r.window).length)),
    table(`${many(rows.length, "model")}, the worst first; levels are of the last window`,
      ["model", ">alerts", ">breach", ">warn", ">unsure", "last window", ">rows", ">labelled", "reference"], cells, "The configuration names no model.")];
}
