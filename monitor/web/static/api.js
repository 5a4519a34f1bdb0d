// Asks the daemon's own API; a token, where one is needed, lives as long as the tab.

const KEY = "driftd-token";

export class Problem extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

export const token = () => sessionStorage.getItem(KEY);
export function setToken(value) { if (value) sessionStorage.setItem(KEY, value); else sessionStorage.removeItem(KEY); }

async function ask(method, url, body) {
  const headers = { Accept: "application/json" };
  if (token()) headers.Authorization = `Bearer ${token()}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(url, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Problem(0, "The daemon does not answer.");
  }
  const data = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Problem(answer.status, data.error || `The daemon answered ${answer.status}.`);
  return data;
}

function query(values) {
  const q = new URLSearchParams();
  for (const [k, v] of Object.entries(values)) for (const one of [v].flat()) if (one !== undefined && one !== null) q.append(k, one);
  const text = q.toString();
  return text ? `?${text}` : "";
}

const part = encodeURIComponent;
export const get = (parts, values = {}) => ask("GET", "/v1/" + parts.map(part).join("/") + query(values));
export const post = (parts, body = {}) => ask("POST", "/v1/" + parts.map(part).join("/"), body);
export const remove = (parts) => ask("DELETE", "/v1/" + parts.map(part).join("/"));

// Whether this token, or everyone where none is needed, may do more than look.
export async function mayAct() {
  return (await get(["access"])).may_act;
}
