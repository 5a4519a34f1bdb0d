// The page: a router over the history, one view a place, and a login where the daemon asks for a token.
import { Problem, setToken, token } from "./api.js";
import { h, toast } from "./dom.js";
import { alertView, alertsView } from "./views/alerts.js";
import { featureView } from "./views/feature.js";
import { fleetView } from "./views/fleet.js";
import { modelView } from "./views/model.js";
import { retrainView, retrainsView } from "./views/retrains.js";
import { statusView } from "./views/status.js";

const ROUTES = [
  [/^\/$/, fleetView, "fleet"],
  [/^\/models\/([^/]+)$/, modelView, "fleet"],
  [/^\/models\/([^/]+)\/features\/([^/]+)$/, featureView, "fleet"],
  [/^\/alerts$/, alertsView, "alerts"],
  [/^\/alerts\/([^/]+)$/, alertView, "alerts"],
  [/^\/retrains$/, retrainsView, "retrains"],
  [/^\/retrains\/([^/]+)$/, retrainView, "retrains"],
  [/^\/status$/, statusView, "status"],
];
const EVERY_MS = 15000;
const main = document.getElementById("main"), login = document.getElementById("login");
let turn = 0, visited = false;

export function go(url) {
  history.pushState(null, "", url);
  show(true);
}

export const refresh = () => show(false);

async function show(moved) {
  const mine = ++turn;
  const found = ROUTES.map(([re, view, nav]) => [re.exec(location.pathname), view, nav]).find(([m]) => m);
  document.querySelectorAll("[data-nav]").forEach((a) => {
    if (found && a.dataset.nav === found[2]) a.setAttribute("aria-current", "page"); else a.removeAttribute("aria-current");
  });
  login.hidden = !token();
  login.textContent = "Log out";
  main.setAttribute("aria-busy", "true");
  let content;
  try {
    if (!found) content = [h("h1", {}, "Nothing is here"), h("p", {}, h("a", { href: "/" }, "To the fleet"))];
    else content = await found[1](...found[0].slice(1).map(decodeURIComponent), new URLSearchParams(location.search), { go, refresh });
  } catch (error) {
    if (mine !== turn) return;
    content = error instanceof Problem && error.status === 401 ? loginForm(error.message) : trouble(error);
  }
  if (mine !== turn) return;
  const typing = main.contains(document.activeElement) && /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName);
  if (!moved && typing) { main.setAttribute("aria-busy", "false"); return; }
  const kept = moved ? null : place();
  main.replaceChildren(...[content].flat(Infinity).filter((part) => part instanceof Node));
  if (kept) restore(kept);
  main.setAttribute("aria-busy", "false");
  const title = main.querySelector("h1");
  document.title = title ? `${title.textContent} · driftd` : "driftd";
  if (moved && visited) { main.focus({ preventScroll: true }); scrollTo(0, 0); }
  visited = true;
}

// A refresh takes neither the keyboard's focus nor what was scrolled aside.
const same = (a, b) => a.tagName === b.tagName && a.textContent === b.textContent && a.getAttribute("href") === b.getAttribute("href");
function place() {
  const focused = main.contains(document.activeElement) && document.activeElement !== main ? document.activeElement : null;
  return { focused, aside: [...main.querySelectorAll(".scroll, pre")].map((e) => [e.scrollLeft, e.scrollTop]) };
}

function restore({ focused, aside }) {
  if (focused) [...main.querySelectorAll("a, button, [tabindex]")].find((e) => same(e, focused))?.focus({ preventScroll: true });
  main.querySelectorAll(".scroll, pre").forEach((e, i) => { if (aside[i]) [e.scrollLeft, e.scrollTop] = aside[i]; });
}

function trouble(error) {
  const text = error instanceof Problem ? error.message : "Something went wrong on this page.";
  if (!(error instanceof Problem)) console.error(error);
  return [h("h1", {}, "That did not work"), h("p", { class: "error", role: "alert" }, text),
    h("p", {}, h("button", { type: "button", onclick: () => show(true) }, "Try again"))];
}

function loginForm(why) {
  const field = h("input", { type: "password", name: "token", autocomplete: "current-password", required: true });
  const sent = (e) => { e.preventDefault(); setToken(field.value.trim()); show(true); };
  return [h("h1", {}, "Log in"), h("p", { class: "dim" }, token() ? why : "The daemon wants a bearer token, see http.tokens in its configuration."),
    h("form", { class: "row", onsubmit: sent }, h("label", {}, "Token", field), h("button", { class: "main" }, "Log in"))];
}

document.addEventListener("click", (e) => {
  const a = e.target.closest("a[href]");
  if (!a || e.defaultPrevented || e.button || e.metaKey || e.ctrlKey || e.shiftKey || a.origin !== location.origin || a.hash) return;
  if (a.getAttribute("href").startsWith("/v1") || a.target) return;
  e.preventDefault();
  go(a.href);
});
login.addEventListener("click", () => { setToken(null); toast("Logged out."); show(true); });
addEventListener("popstate", () => show(true));
setInterval(() => { if (!document.hidden) refresh(); }, EVERY_MS);
show(true);
