// How long to wait for what, in milliseconds; tests replace them by shorter ones.

import { lost } from "./errors.js";

export const TIMES = Object.freeze({
  connect: 20_000, // from the offer to an open channel
  proof: 10_000, // from the open channel to the proven link
  ping: 5_000, // between two pings
  dead: 15_000, // silence after which a link counts as lost
  bye: 2_000, // how long closing waits for the other side
  request: 30_000, // how long a short request may stay unanswered
  first: 500, // the first pause before a reconnect; later ones double, with jitter
  most: 8_000, // the longest pause between two reconnects
  poll: 3_000, // between two questions who is in the room
});

/** Pauses that double from `first` to `most`, each shortened by up to a half at random. */
export function* backoff({ first, most }) {
  for (let pause = first; ; pause = Math.min(pause * 2, most)) {
    yield Math.min(pause, most) * (1 - Math.random() / 2);
  }
}

/**
 * Wait, unless `signal` ends that.
 *
 * @param {number} milliseconds
 * @param {AbortSignal} signal
 */
export const sleep = (milliseconds, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(done, milliseconds);
    function done() {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
    if (signal.aborted) done();
    else signal.addEventListener("abort", done, { once: true });
  });

/**
 * What `promise` gives, or an error after so many milliseconds.
 *
 * @param {Promise<T>} promise
 * @param {number} limit milliseconds; Infinity waits for ever
 * @param {() => Error} [late]
 * @template T
 * @returns {Promise<T>}
 */
export async function within(promise, limit, late = () => lost("Nothing came in time.")) {
  if (limit === Infinity) return promise;
  let timer;
  const timeout = new Promise((_, reject) => (timer = setTimeout(() => reject(late()), limit)));
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

/** Lets so many in at once; the others wait in line. */
export class Turns {
  #free;
  #waiting = [];

  /** @param {number} count */
  constructor(count) {
    this.#free = count;
  }

  /**
   * Run `work` when it is its turn.
   *
   * @param {() => Promise<T>} work
   * @template T
   * @returns {Promise<T>}
   */
  async take(work) {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      // handed on, so that nobody comes in between
      if (this.#waiting.length) this.#waiting.shift()();
      else this.#free += 1;
    }
  }
}
