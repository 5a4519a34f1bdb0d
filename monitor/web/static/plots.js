// Plots by uPlot (vendor/uplot.js), with a table behind each for those who do not see them.
import { h, number, time } from "./dom.js";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const PALETTE = ["--accent", "--breach", "--ok", "--warn", "--unsure"];

function fade(hex, alpha) {
  const m = /^#(..)(..)(..)$/.exec(hex);
  return m ? `rgba(${parseInt(m[1], 16)},${parseInt(m[2], 16)},${parseInt(m[3], 16)},${alpha})` : hex;
}

function frame(caption, words) {
  const place = h("div", { class: "plot", role: "img", "aria-label": words });
  return [h("figure", {}, h("figcaption", {}, caption), place), place];
}

function mount(place, make) {
  let plot = null;
  const draw = () => {
    const width = Math.floor(place.clientWidth);
    if (!width) return;
    if (plot) plot.setSize({ width, height: plot.height });
    else plot = make(width);
  };
  new ResizeObserver(draw).observe(place);
  requestAnimationFrame(draw);
}

function clock(u, splits) {
  const span = splits[splits.length - 1] - splits[0];
  return splits.map((s) => {
    const iso = new Date(s * 1000).toISOString();
    return span > 172800 ? iso.slice(5, 10) : span > 600 ? iso.slice(11, 16) : iso.slice(11, 19);
  });
}

const axes = (format, dates = false) => [
  { ...(dates ? { values: clock, space: 70 } : {}), stroke: colour("--dim"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } },
  { stroke: colour("--dim"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") }, size: 62,
    values: (u, vs) => vs.map((v) => format(v)) },
];

// series: [{name, values, low?, high?, dash?}] over times (ms); marks: [{at, text, kind}]
export function timeline(caption, times, series, { limit = null, marks = [], unit = "" } = {}) {
  const last = series.map((s) => `${s.name} ${number(s.values[s.values.length - 1])}`).join(", ");
  const [figure, place] = frame(caption, `${caption}: ${times.length} windows; last: ${last}${unit}`);
  if (!times.length) { place.replaceWith(h("p", { class: "dim" }, "No windows yet.")); return figure; }
  const data = [times.map((t) => t / 1000)], made = [{}], bands = [];
  series.forEach((s, i) => {
    const line = colour(s.colour || PALETTE[i % PALETTE.length]);
    if (s.low && s.high) {
      data.push(s.high, s.low);
      made.push({ label: `${s.name} high`, stroke: fade(line, 0.25), width: 0, points: { show: false } });
      made.push({ label: `${s.name} low`, stroke: fade(line, 0.25), width: 0, points: { show: false } });
      bands.push({ series: [data.length - 2, data.length - 1], fill: fade(line, 0.18) });
    }
    data.push(s.values);
    made.push({ label: s.name, stroke: line, width: 2, dash: s.dash ? [6, 4] : undefined, spanGaps: false,
      points: { show: times.length < 60, size: 5 }, value: (u, v) => number(v) + unit });
  });
  if (limit !== null) {
    data.push(times.map(() => limit));
    made.push({ label: "limit", stroke: colour("--warn"), dash: [3, 4], width: 1.5, points: { show: false }, value: (u, v) => number(v) });
  }
  const paint = (u) => {
    for (const mark of marks) {
      const x = u.valToPos(mark.at / 1000, "x", true);
      if (x < u.bbox.left || x > u.bbox.left + u.bbox.width) continue;
      u.ctx.save();
      u.ctx.strokeStyle = colour(mark.kind === "retrain" ? "--accent" : "--breach");
      u.ctx.setLineDash([2, 3]);
      u.ctx.beginPath(); u.ctx.moveTo(x, u.bbox.top); u.ctx.lineTo(x, u.bbox.top + u.bbox.height); u.ctx.stroke();
      u.ctx.restore();
    }
  };
  mount(place, (width) => new uPlot({
    width, height: 190, series: made, bands, axes: axes((v) => number(v, 3), true), hooks: { draw: [paint] },
    scales: { x: { time: true } }, tzDate: (ts) => uPlot.tzDate(new Date(ts * 1e3), "Etc/UTC"), legend: { live: true },
  }, data, place));
  if (marks.length) figure.append(h("p", { class: "dim" }, marks.map((m) => `${m.text} at ${time(m.at)}`).join("; ")));
  return figure;
}

// distribution of /v1/…/distribution
export function distribution(found) {
  return found.kind === "numeric" ? numeric(found) : categories(found);
}

function numeric(found) {
  const ref = found.reference;
  const words = `Distribution of ${found.subject}: ${number(found.rows[0])} rows now` + (ref ? `, ${number(found.rows[1])} in ${found.reference_name}` : "");
  const [figure, place] = frame(`Distribution against ${found.reference_name || "nothing yet"}`, words);
  if (!found.edges.length) { place.replaceWith(h("p", { class: "dim" }, "No values in this window.")); return figure; }
  const stepped = uPlot.paths.stepped({ align: 1 });
  const close = (v) => [...v, v[v.length - 1]];
  const data = [found.edges, ...(ref ? [close(ref)] : []), close(found.current)];
  const one = (label, c) => ({ label, stroke: colour(c), fill: fade(colour(c), 0.22), width: 2, paths: stepped, points: { show: false },
    value: (u, v) => (v === null ? "–" : `${(v * 100).toFixed(2)} %`) });
  const series = [{ value: (u, v) => number(v) }, ...(ref ? [one("reference", "--ref")] : []), one("window", "--accent")];
  mount(place, (width) => new uPlot({ width, height: 230, series, scales: { x: { time: false }, y: { range: (u, a, b) => [0, b || 1] } },
    axes: axes((v) => `${(v * 100).toFixed(0)} %`) }, data, place));
  const outside = (i) => `${(found.below[i] * 100).toFixed(1)} % below, ${(found.above[i] * 100).toFixed(1)} % above the axis`;
  figure.append(h("p", { class: "dim" }, `window: ${outside(0)}` + (ref ? `; reference: ${outside(1)}` : "")));
  return figure;
}

function categories(found) {
  const rows = found.names.map((name, i) => h("tr", {},
    h("th", { scope: "row" }, name),
    found.reference ? h("td", {}, share(found.reference[i], "reference")) : null,
    h("td", {}, share(found.current[i], "window"))));
  const head = h("tr", {}, h("th", {}, "value"), found.reference ? h("th", {}, "reference") : null, h("th", {}, "window"));
  const more = found.more ? h("p", { class: "dim" }, `${found.more} more values are not shown.`) : null;
  return h("figure", {}, h("figcaption", {}, `Shares against ${found.reference_name || "nothing yet"}`),
    h("div", { class: "scroll" }, h("table", { class: "bars" }, h("thead", {}, head), h("tbody", {}, rows))), more);
}

export function share(value, label) {
  const text = `${(value * 100).toFixed(2)} %`;
  return [h("meter", { min: 0, max: 1, value, "aria-label": `${label} ${text}` }), " ", text];
}

// matrix of /v1/…/matrix: subjects by windows; each cell is a link to the feature at that window
export function heatmap(caption, matrix, href) {
  if (!matrix.windows.length) return h("p", { class: "dim" }, "No windows yet.");
  const rows = matrix.subjects.map((subject, i) => h("tr", {},
    h("th", { scope: "row" }, h("a", { href: href(subject) }, subject)),
    matrix.windows.map((start, j) => {
      const value = matrix.values[i][j], level = matrix.levels[i][j];
      if (level === null) return h("td", { class: "cell" });
      const words = `${subject}, ${time(start)}: ${number(value)}, ${["ok", "unsure", "warn", "breach"][level]}`;
      return h("td", { class: `cell lv${level}`, title: words }, h("a", { href: href(subject, start), "aria-label": words, tabindex: j === matrix.windows.length - 1 ? 0 : -1 }));
    })));
  const range = `${time(matrix.windows[0])} to ${time(matrix.windows[matrix.windows.length - 1])}`;
  return h("figure", {}, h("figcaption", {}, caption), h("p", { class: "dim" }, `Columns are windows, ${range}. Green ok, grey unsure, yellow warn, red breach.`),
    h("div", { class: "scroll" }, h("table", { class: "heat" }, h("tbody", {}, rows))));
}
