// The service's REST API (docs/protocol.md). Every refusal is an `ApiError` with a sentence for people.

import { heard } from "./clock.js";

const TIMEOUT_MS = 20_000;
const UNREACHABLE = "The service cannot be reached. Check your network; this page tries again by itself.";
/** What a proxy says whose service is away, and a service whose database is. */
const AWAY = new Set([502, 503, 504]);

/** A refusal of the service, or that it cannot be reached: `status` is 0 then. */
class ApiError extends Error {
  constructor(status, code, sentence) {
    super(sentence);
    this.status = status;
    this.code = code;
  }

  /** Whether it may pass by itself: nobody there judged the request. */
  get passing() {
    return this.status === 0 || AWAY.has(this.status);
  }
}

/** Where the API begins, with a slash at its end. */
export const apiBase = () => new URL("../api/v1/", document.baseURI);

/** Called when the login has ended; set by whoever owns the page. */
export const onLoggedOut = { call: () => {} };

/** Told after every request what keeps the page from the service, as a sentence, or null; set by whoever owns the page. */
export const onTrouble = { call: () => {} };

export const get = (path, options) => request("GET", path, undefined, options);
export const post = (path, body, options) => request("POST", path, body, options);
export const put = (path, body, options) => request("PUT", path, body, options);
export const patch = (path, body, options) => request("PATCH", path, body, options);
export const del = (path, options) => request("DELETE", path, undefined, options);

/**
 * A path with ids in it, each of them escaped: path`rooms/${id}/members`.
 *
 * @returns {string}
 */
export const path = (parts, ...ids) => String.raw({ raw: parts }, ...ids.map(encodeURIComponent));

async function request(method, where, body, { signal, base = apiBase() } = {}) {
  const limit = AbortSignal.timeout(TIMEOUT_MS);
  const init = { method, signal: signal ? AbortSignal.any([signal, limit]) : limit };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { "Content-Type": "application/json" };
  }
  let answer, text;
  try {
    answer = await fetch(new URL(where, base), init);
    text = await answer.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    onTrouble.call(UNREACHABLE);
    throw new ApiError(0, "unreachable", UNREACHABLE);
  }
  heard(answer.headers.get("date"));
  const said = parsed(text);
  const sentence = said?.error?.sentence ?? `The service answered with status ${answer.status} and said no more. Try again.`;
  onTrouble.call(AWAY.has(answer.status) ? sentence : null);
  if (answer.ok) return said;
  if (answer.status === 401) onLoggedOut.call(sentence);
  throw new ApiError(answer.status, said?.error?.code ?? "internal", sentence);
}

function parsed(text) {
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}
