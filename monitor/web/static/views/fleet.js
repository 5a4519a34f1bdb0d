import { get } from "../api.js";
import { ago, badge, h, number, path, table, time } from "../dom.js";

export async function fleetView() {
  const { rows } = await get(["models"]);
  const rank = (r) => [(r.levels.breach || 0) + r.alerts, r.levels.warn || 0];
  rows.sort((a, b) => rank(b)[0] - rank(a)[0] || rank(b)[1] - rank(a)[1] || (a.model < b.model ? -1 : 1));
  const count = (r, level) => (r.levels[level] ? badge(number(r.levels[level]), level) : "0");
  const cells = rows.map((r) => [
    h("a", { href: path("models", r.model) }, r.model),
    r.window ? h("span", { title: time(r.window.start_ms) }, ago(r.window.end_ms)) : "no window yet",
    r.window ? number(r.window.rows) : "–", r.window ? number(r.window.labelled_rows) : "–",
    r.window ? r.window.reference || "none" : "–",
    count(r, "breach"), count(r, "warn"), count(r, "unsure"), r.alerts ? badge(number(r.alerts), "firing") : "0",
  ]);
  return [h("h1", {}, "Fleet"), table(`${rows.length} models, the worst first`,
    ["model", "last window", ">rows", ">labelled", "reference", ">breach", ">warn", ">unsure", ">alerts"], cells)];
}
