// Plots by uPlot (vendor/uplot.js): bands, lines, marks and limits over time, and distributions. What a plot shows stands in its
// legend too, as numbers of the last window or of the one under the cursor.
import { LEVELS, h, many, number, percent, scrolling, time } from "./dom.js";

const WARN = LEVELS.indexOf("warn");

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const PALETTE = ["--accent", "--second", "--third", "--fourth", "--fifth"];
const GLYPHS = { alert: "▲", retrain: "◆", window: "┃" };

function fade(hex, alpha) {
  const m = /^#(..)(..)(..)$/.exec(hex);
  return m ? `rgba(${parseInt(m[1], 16)},${parseInt(m[2], 16)},${parseInt(m[3], 16)},${alpha})` : hex;
}

function frame(caption, words) {
  const place = h("div", { class: "plot", role: "img", "aria-label": words }), at = h("span", { class: "at" });
  return [h("figure", {}, h("figcaption", {}, caption, at), place), place, at];
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
  { ...(dates ? { values: clock, space: 64 } : { space: 60, values: (u, vs) => vs.map((v) => number(v, 5)) }),
    size: 34, stroke: colour("--dim"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), size: 6 } },
  { stroke: colour("--dim"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") }, size: 58,
    values: (u, vs) => vs.map((v) => format(v)) },
];

function swatch(look) {
  const box = h("i", { class: "swatch", "aria-hidden": "true" });
  box.style.borderTopColor = look.colour;
  box.style.borderTopStyle = look.dash ? "dashed" : "solid";
  if (look.fill) box.style.background = fade(look.colour, 0.18);
  return box;
}

// items: [{name, colour, dash, fill, text(i)}]; shows those of index i
function legend(items) {
  const values = items.map(() => h("b", {}));
  const show = (i) => items.forEach((item, k) => { values[k].textContent = item.text(i); });
  return [h("ul", { class: "legend" }, items.map((item, k) => h("li", {}, swatch(item), item.name, " ", values[k]))), show];
}

const lastKnown = (values) => { for (let i = values.length - 1; i >= 0; i--) if (values[i] !== null && values[i] !== undefined) return i; return -1; };

// what the value axis spans: some room around the values, also where they are all the same; shares stay between 0 and 1
function roomy(a, b, share) {
  if (a === null || b === null) return [0, 1];
  if (a === b) return a === 0 ? [0, share ? 0.01 : 1] : [a - Math.abs(a) / 10, share ? Math.min(1, a * 1.1) : a + Math.abs(a) / 10];
  const [low, high] = uPlot.rangeNum(a, b, 0.1, true);
  return share ? [Math.max(0, low), Math.min(1, high)] : [low, high];
}

// series: [{name, values, low?, high?, inner?: [low, high], reference?: [values, …], dash?, colour?, levels?, thin?}] over times (ms);
// reference: dashed lines of what values (the first) and other quantiles are of the reference
// marks: [{at, kind}]; range: [first, last] of the axis, ms, so that plots beside each other agree
export function timeline(caption, times, series, { limit = null, marks = [], unit = "", range = null, share = false, step = 0 } = {}) {
  const show = (v) => (share ? percent(v) : v === null || v === undefined ? "–" : number(v) + unit);
  const text = (s, i) => {
    if (i < 0 || s.values[i] === null || s.values[i] === undefined) return "–";
    const base = s.reference?.[0][i] ?? null, against = base === null ? "" : `, reference ${show(base)}`;
    return (s.low && s.low[i] !== null ? `${show(s.values[i])} (${show(s.low[i])} to ${show(s.high[i])})` : show(s.values[i])) + against;
  };
  const last = series.map((s) => `${s.name} ${text(s, lastKnown(s.values))}`).join(", ");
  const [figure, place, at] = frame(caption, `${caption}, ${times.length} windows. Last: ${last}${limit === null ? "" : `; limit ${show(limit)}`}`);
  if (!series.some((s) => lastKnown(s.values) >= 0)) { place.replaceWith(h("p", { class: "dim" }, "No value in these windows.")); return figure; }
  const data = [times.map((t) => t / 1000)], made = [{}], bands = [], items = [];
  const hidden = { width: 0, points: { show: false } };
  const between = (low, high, fill) => { data.push(high, low); made.push(hidden, hidden); bands.push({ series: [data.length - 2, data.length - 1], fill }); };
  series.forEach((s, i) => {
    const line = colour(s.colour || PALETTE[i % PALETTE.length]);
    if (s.low && s.high) between(s.low, s.high, fade(line, 0.16));
    if (s.inner) between(...s.inner, fade(line, 0.22));
    for (const [k, values] of (s.reference ?? []).entries()) {
      if (lastKnown(values) < 0) continue;
      data.push(values);
      made.push({ stroke: series.length > 1 ? line : colour("--ink"), width: k ? 1 : 1.5, dash: k ? [3, 4] : [7, 4], points: { show: false } });
    }
    data.push(s.values);
    made.push({ stroke: line, width: s.thin ? 1 : 2, dash: s.dash ? [6, 4] : undefined, spanGaps: false,
      points: { show: !s.dash && times.length < 60, size: 4 } });
    items.push({ name: s.name, colour: line, dash: s.dash, fill: Boolean(s.low), text: (k) => text(s, k ?? lastKnown(s.values)) });
  });
  if (limit !== null) {
    data.push(times.map(() => limit));
    made.push({ stroke: colour("--warn"), dash: [3, 4], width: 1.5, points: { show: false } });
    items.push({ name: "limit", colour: colour("--warn"), dash: true, text: () => show(limit) });
  }
  const [list, say] = legend(items);
  const told = (i) => { say(i); at.textContent = i === null ? "" : time(times[i]); };
  told(null);
  const axis = range ?? [times[0], times[times.length - 1]];
  const pad = axis[1] > axis[0] ? 0 : step || 1000;
  mount(place, (width) => new uPlot({
    width, height: 190, padding: [10, 28, 0, 0], series: made, bands, axes: axes((v) => (share ? `${number(v * 100, 3)} %` : number(v, 3)), true),
    scales: { x: { time: true, range: () => [(axis[0] - pad) / 1000, (axis[1] + pad) / 1000] }, y: { range: (u, a, b) => roomy(a, b, share) } },
    tzDate: (ts) => uPlot.tzDate(new Date(ts * 1e3), "Etc/UTC"), legend: { show: false },
    cursor: { sync: { key: "time" }, points: { size: 6 }, drag: { x: false, y: false } },
    hooks: { draw: [(u) => paint(u, series, times, marks)], setCursor: [(u) => told(u.cursor.idx ?? null)] },
  }, data, place));
  figure.append(list);
  return figure;
}

// quantiles of a subject in every window, as bands, and of the reference of each window, as dashed lines
export function quantiles(caption, found, look) {
  const of = (name, what = "values") => found.series[name]?.[what] ?? found.times.map(() => null);
  const reference = ["p50", "p05", "p25", "p75", "p95"].map((name) => of(name, "reference"));
  const series = [{ name: "median", values: of("p50"), low: of("p05"), high: of("p95"), inner: [of("p25"), of("p75")], reference, colour: "--accent" }];
  const dashed = lastKnown(reference[0]) < 0 ? "" : "; dashed, of the reference";
  return timeline(`${caption}: median, 25 to 75 %, 5 to 95 %${dashed}`, found.times, series, look);
}

// marks as dashed lines with a glyph on top, and the windows that were bad as dots
function paint(u, series, times, marks) {
  const { left, top, width, height } = u.bbox, ctx = u.ctx, dot = devicePixelRatio || 1;
  ctx.save();
  for (const mark of marks) {
    const x = u.valToPos(mark.at / 1000, "x", true);
    if (x < left || x > left + width) continue;
    ctx.strokeStyle = ctx.fillStyle = colour(mark.kind === "alert" ? "--breach" : mark.kind === "retrain" ? "--second" : "--dim");
    ctx.setLineDash([2 * dot, 3 * dot]);
    ctx.beginPath(); ctx.moveTo(x, top); ctx.lineTo(x, top + height); ctx.stroke();
    ctx.font = `${11 * dot}px system-ui, sans-serif`; ctx.textAlign = "center";
    if (mark.kind !== "window") ctx.fillText(GLYPHS[mark.kind], x, top - 1 * dot);
  }
  ctx.setLineDash([]);
  for (const s of series) {
    (s.levels || []).forEach((level, i) => {
      if (level === null || level < WARN || s.values[i] === null) return;
      ctx.fillStyle = colour(level > WARN ? "--breach" : "--warn");
      ctx.beginPath(); ctx.arc(u.valToPos(times[i] / 1000, "x", true), u.valToPos(s.values[i], "y", true), 4 * dot, 0, 7); ctx.fill();
    });
  }
  ctx.restore();
}

// what the marks of the plots above mean; marks: [{at, kind, text, href}]
export function marked(marks, range) {
  const shown = marks.filter((m) => !range || (m.at >= range[0] && m.at <= range[1])).sort((a, b) => a.at - b.at);
  if (!shown.length) return null;
  return h("ul", { class: "marks", "aria-label": "Marked on the time axis" }, shown.map((m) =>
    h("li", {}, h("span", { class: `glyph ${m.kind}`, "aria-hidden": "true" }, GLYPHS[m.kind]), " ",
      m.href ? h("a", { href: m.href }, m.text) : m.text, " ", h("span", { class: "dim" }, time(m.at)))));
}

// reliability_curve of a calibration metric's evidence: how often what is given a probability happens
export function reliability(caption, curve) {
  const held = curve.rows.map((n, i) => i).filter((i) => curve.rows[i] > 0 && curve.mean_score[i] !== null).sort((a, b) => curve.mean_score[a] - curve.mean_score[b]);
  const of = (name) => held.map((i) => curve[name][i]), said = of("mean_score"), rates = of("observed_rate"), rows = of("rows");
  const [figure, place, at] = frame(caption, `${caption}: ${held.map((_, i) => `${number(said[i])} said, ${number(rates[i])} observed of ${many(rows[i], "row")}`).join("; ")}`);
  const items = [
    { name: "observed", colour: colour("--accent"), text: (i) => (i === null ? "" : `${number(rates[i])} of ${many(rows[i], "row")}`) },
    { name: "said", colour: colour("--dim"), dash: true, text: (i) => (i === null ? "" : number(said[i])) },
  ];
  const [list, say] = legend(items), line = (name, more) => ({ stroke: colour(name), width: 2, points: { show: true, size: 5 }, ...more });
  say(null);
  mount(place, (width) => new uPlot({ width, height: 190, padding: [10, 28, 0, 0], legend: { show: false },
    series: [{}, line("--dim", { width: 1, dash: [6, 4], points: { show: false } }), line("--accent", {})],
    scales: { x: { time: false, range: () => [0, 1] }, y: { range: () => [0, 1] } }, axes: axes((v) => number(v, 3)),
    cursor: { drag: { x: false, y: false }, points: { size: 6 } },
    hooks: { setCursor: [(u) => { say(u.cursor.idx ?? null); at.textContent = ""; }] },
  }, [said, said, rates], place));
  figure.append(list);
  return figure;
}

// distribution of /v1/…/distribution
export function distribution(found) {
  return found.kind === "numeric" ? numeric(found) : categories(found);
}

function numeric(found) {
  const ref = found.reference, against = found.reference_name || "nothing yet";
  const words = `Distribution of ${found.subject}: ${number(found.rows[0])} rows of the window` + (ref ? `, ${number(found.rows[1])} of ${against}` : "");
  const [figure, place] = frame(`Distribution against ${against}`, words);
  if (!found.edges.length) { place.replaceWith(h("p", { class: "dim" }, "No values in this window.")); return figure; }
  const stepped = uPlot.paths.stepped({ align: 1 });
  const close = (v) => [...v, v[v.length - 1]];
  const data = [found.edges, ...(ref ? [close(ref)] : []), close(found.current)];
  const one = (c, fill) => ({ stroke: colour(c), fill: fade(colour(c), fill), width: 2, paths: stepped, points: { show: false } });
  const series = [{}, ...(ref ? [one("--ref", 0.3)] : []), one("--accent", 0.2)];
  const rows = (i) => `${number(found.rows[i])} rows`;
  const at = (values, i) => percent(i === found.edges.length - 1 ? null : values[i], 2);
  const bin = (i) => `${number(found.edges[i])} to ${number(found.edges[i + 1])}`;
  const items = [
    ...(ref ? [{ name: "reference", colour: colour("--ref"), fill: true, text: (i) => (i === null ? rows(1) : at(ref, i)) }] : []),
    { name: "window", colour: colour("--accent"), fill: true, text: (i) => (i === null ? rows(0) : at(found.current, i)) },
  ];
  const [list, say] = legend(items), where = figure.querySelector(".at");
  say(null);
  mount(place, (width) => new uPlot({ width, height: 240, padding: [10, 28, 0, 0], series, legend: { show: false },
    scales: { x: { time: false }, y: { range: (u, a, b) => [0, (b || 1) * 1.05] } }, axes: axes((v) => percent(v, 0)),
    cursor: { drag: { x: false, y: false }, points: { show: false } },
    hooks: { setCursor: [(u) => { const i = u.cursor.idx ?? null; say(i); where.textContent = i === null || i >= found.edges.length - 1 ? "" : bin(i); }] },
  }, data, place));
  const outside = (i) => `${percent(found.below[i])} below, ${percent(found.above[i])} above the axis`;
  figure.append(list, h("p", { class: "dim note" }, `window: ${outside(0)}` + (ref ? `; reference: ${outside(1)}` : "")));
  return figure;
}

function categories(found) {
  return bars(`Shares against ${found.reference_name || "nothing yet"}`, found.names, found.reference, found.current, found.more);
}

// shares of names, of the reference (null where there is none) and of the window
export function bars(caption, names, reference, current, more = 0) {
  const most = Math.max(...(reference || []), ...current, 1e-9);
  const rows = names.map((name, i) => h("tr", {}, h("th", { scope: "row" }, name),
    reference ? h("td", {}, share(reference[i], "reference", most)) : null, h("td", {}, share(current[i], "window", most))));
  const head = h("tr", {}, h("th", { scope: "col" }, "value"), reference ? h("th", { scope: "col" }, "reference") : null, h("th", { scope: "col" }, "window"));
  return h("figure", {}, h("figcaption", {}, caption),
    scrolling(caption, h("table", { class: "bars" }, h("thead", {}, head), h("tbody", {}, rows))),
    more ? h("p", { class: "dim note" }, `${number(more)} more values are not shown.`) : null);
}

function share(value, label, most) {
  const text = percent(value, 2);
  return h("span", { class: "share" }, h("meter", { min: 0, max: most, value, class: label, "aria-label": `${label} ${text}` }), h("span", { class: "figure" }, text));
}
