import { get } from "../api.js";
import { ago, badge, h, many, number, table, when, words } from "../dom.js";

const SAYS = { store: ["store answers", "store is away"], assigned: ["partitions assigned", "no partition assigned"], lag_known: ["lag known", "lag not known"], loop: ["data loop turns", "data loop stands still"] };

export async function statusView() {
  const s = await get(["status"]);
  const partitions = s.partitions.map((p) => [p.source, p.topic, number(p.part), p.role, number(Math.max(0, p.next_offset)), when(p.max_ts_ms), ago(p.seen_at_ms), p.owner, p.idle ? "idle" : "reading"]);
  const counts = Object.entries(s.counts).sort((a, b) => b[1] - a[1]);
  const state = Object.entries(s.state).map(([k, good]) => [badge(SAYS[k]?.[good ? 0 : 1] ?? `${words(k)}: ${good ? "yes" : "no"}`, good ? "ok" : "breach"), " "]);
  return [h("h1", {}, "Status ", s.ready ? badge("ready", "ok") : badge("not ready", "breach")),
    h("p", {}, state, h("span", { class: "dim" }, ` driftd ${s.version}`)),
    h("h2", {}, "Partitions"), table(many(partitions.length, "partition"), ["source", "topic", ">partition", "role", ">next offset", "event time", "checkpoint", "owner", "state"], partitions, "No partition was ever read."),
    h("div", { class: "pair" },
      h("div", {}, h("h2", {}, "What became of the events"), table("Counted in the checkpoints", ["outcome", ">rows"], counts.map(([k, v]) => [words(k), number(v)]))),
      h("div", {}, h("h2", {}, "Notifications"), table("Outbox", ["state", ">messages"], Object.entries(s.outbox).map(([k, v]) => [k, number(v)]), "None was made yet."))),
    h("h2", {}, "Dead letters"), table("The newest", ["at", "source", "topic", ">partition", ">offset", "reason", "detail"], s.dead_letters.map((d) => [when(d.at_ms), d.source, d.topic, number(d.part), number(d.log_offset), words(d.reason), d.detail]), "None."),
    h("h2", {}, "Configuration in effect"), h("pre", { tabindex: 0, role: "region", "aria-label": "Configuration in effect" }, s.config)];
}
