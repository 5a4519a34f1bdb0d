import { get } from "../api.js";
import { ago, badge, h, number, table, time } from "../dom.js";

export async function statusView() {
  const s = await get(["status"]);
  const partitions = s.partitions.map((p) => [p.source, p.topic, number(p.part), p.role, number(Math.max(0, p.next_offset)), time(p.max_ts_ms), ago(p.seen_at_ms), p.owner, p.idle ? "idle" : "reading"]);
  const counts = Object.entries(s.counts).sort((a, b) => b[1] - a[1]);
  return [h("h1", {}, "Status ", s.ready ? badge("ready", "ok") : badge("not ready", "breach")),
    h("p", { class: "dim" }, `driftd ${s.version}; ${Object.entries(s.state).map(([k, v]) => `${k}: ${v ? "yes" : "no"}`).join(", ")}`),
    table(`${partitions.length} partitions`, ["source", "topic", ">partition", "role", ">next offset", "event time", "checkpoint", "owner", "state"], partitions, "No partition was ever read."),
    h("h2", {}, "What became of the events"), table("Counted in the checkpoints", ["outcome", ">rows"], counts.map(([k, v]) => [k, number(v)])),
    h("h2", {}, "Notifications"), table("Outbox", ["state", ">rows"], Object.entries(s.outbox).map(([k, v]) => [k, number(v)]), "None was made yet."),
    h("h2", {}, "Dead letters"), table("The newest", ["at", "source", "topic", ">partition", ">offset", "reason", "detail"], s.dead_letters.map((d) => [time(d.at_ms), d.source, d.topic, number(d.part), number(d.log_offset), d.reason, d.detail]), "None."),
    h("h2", {}, "Configuration in effect"), h("pre", { tabindex: 0 }, s.config)];
}
