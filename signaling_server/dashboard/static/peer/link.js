// The page's one relation to a worker: dialled again whenever it drops, until it is closed or refused.

import { isFinal, lost, tellAll } from "./errors.js";
import { backoff, sleep } from "./times.js";

const AGAIN = ["connection_lost", "lane_lost"];

/** A link that outlives its connections. */
export class Link {
  #dial;
  #times;
  #session = null;
  #closing = new AbortController();
  #waiting = [];
  #listeners = new Set();
  #error = null;

  /** "connecting" | "ready" | "lost" | "closed". */
  state = "connecting";
  /** Why it is lost or closed, as a sentence. */
  reason = "";

  /**
   * @param {() => Promise<import("./session.js").Session>} dial makes one connection
   * @param {typeof import("./times.js").TIMES} times
   */
  constructor(dial, times) {
    this.#dial = dial;
    this.#times = times;
  }

  /** Make the first connection, and keep the link up from then on; an error if the first one cannot be made. */
  async open() {
    const session = await this.#connect();
    this.#keep(session);
  }

  /**
   * Be told each change of state; returns what ends that.
   *
   * @param {(state: string, reason: string) => void} listener
   */
  onState(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The live session, waited for while it is being made; an error if there will be none. */
  async session() {
    for (;;) {
      if (this.state === "closed") throw this.#error;
      if (this.#session && !this.#session.reason) return this.#session;
      await new Promise((resolve) => this.#waiting.push(resolve));
    }
  }

  /**
   * Run `work` on the link; if the link drops meanwhile, run it again on the next one.
   *
   * @param {(session: import("./session.js").Session) => Promise<T>} work something that may safely be done twice
   * @param {AbortSignal} [signal] ends the waiting
   * @template T
   * @returns {Promise<T>}
   */
  async call(work, signal) {
    for (;;) {
      const session = await abortable(this.session(), signal);
      try {
        return await abortable(work(session), signal);
      } catch (error) {
        if (!session.reason || !(error === session.reason || AGAIN.includes(error.code))) throw error;
      }
    }
  }

  /** End it. */
  async close() {
    const session = this.#session;
    this.#enter("closed", lost("This page has closed the link to the worker."));
    this.#closing.abort();
    await session?.close();
  }

  async #connect() {
    try {
      const session = await this.#dial();
      if (this.state === "closed") {
        session.close();
        throw this.#error;
      }
      this.#session = session;
      this.#enter("ready", null);
      return session;
    } catch (error) {
      if (this.state === "connecting" || isFinal(error)) this.#enter("closed", error);
      throw error;
    }
  }

  async #keep(session) {
    let began = performance.now();
    let pauses = backoff(this.#times);
    let reason = await session.closed;
    while (this.state !== "closed") {
      if (isFinal(reason)) {
        this.#enter("closed", reason); // we were sent away: dialling again would only be refused again
        return;
      }
      this.#enter("lost", reason);
      // only a link that held for a while counts as healed: one that comes and goes must not become a storm
      if (performance.now() - began > this.#times.most) pauses = backoff(this.#times);
      await sleep(pauses.next().value, this.#closing.signal);
      if (this.state === "closed") return;
      began = performance.now();
      try {
        reason = await (await this.#connect()).closed;
      } catch (error) {
        reason = error;
        began = performance.now();
      }
    }
  }

  #enter(state, error) {
    if (this.state === "closed") return;
    const reason = error?.message ?? "";
    const news = state !== this.state || reason !== this.reason;
    this.state = state;
    this.reason = reason;
    this.#error = error;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
    if (news) tellAll(this.#listeners, state, reason);
  }
}

/** What `promise` gives, unless `signal` ends the waiting first. */
export async function abortable(promise, signal) {
  if (!signal) return promise;
  promise.catch(() => {});
  signal.throwIfAborted();
  let stop;
  const aborted = new Promise((_, reject) => {
    stop = () => reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
