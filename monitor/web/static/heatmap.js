// The matrix of /v1/…/matrix as a table: subjects by windows, each cell a link to the subject in that window.
import { LEVELS, h, number, scrolling, time } from "./dom.js";

export function heatmap(caption, matrix, href) {
  const { windows } = matrix, last = windows.length - 1;
  if (!windows.length) return h("p", { class: "dim" }, "No window has this score.");
  const rows = matrix.subjects.map((subject, i) => h("tr", {},
    h("th", { scope: "row" }, h("a", { href: href(subject) }, subject)),
    windows.map((start, j) => {
      const value = matrix.values[i][j], level = matrix.levels[i][j];
      if (level === null) return h("td", { class: "cell" });
      const words = `${subject}, ${time(start)}: ${number(value)}, ${LEVELS[level]}`;
      // one stop a row for the keyboard: a hundred would be a wall
      return h("td", { class: `cell lv${level}`, title: words }, h("a", { href: href(subject, start), "aria-label": words, tabindex: j === last ? 0 : -1 }));
    })));
  const key = LEVELS.map((name, level) => h("li", {}, h("i", { class: `swatch cell lv${level}`, "aria-hidden": "true" }), name));
  const foot = h("tfoot", {}, h("tr", {}, h("td", {}), h("td", { colspan: windows.length, class: "dim" },
    h("span", { class: "axis" }, h("span", {}, time(windows[0])), last ? h("span", {}, time(windows[last])) : null))));
  const made = h("figure", {}, h("figcaption", {}, caption, h("span", { class: "at" }, `${windows.length === 1 ? "one window" : `${windows.length} windows`}, the worst first`)),
    scrolling(caption, h("div", { class: `heat ${windows.length < 40 ? "few" : windows.length > 80 ? "many" : ""}` }, h("table", {}, h("tbody", {}, rows), foot))),
    h("ul", { class: "legend" }, key));
  requestAnimationFrame(() => { const aside = made.querySelector(".scroll"); aside.scrollLeft = aside.scrollWidth; }); // the newest
  return made;
}
