// How often something is done at most, however often it is asked for.

/** `call`, at most once before each time that the page is drawn. */
export function onceAFrame(call) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      call();
    });
  };
}

/** `call` at once, and then at most once in `ms` milliseconds; the last time that it was asked for is never left out. */
export function atMostEvery(ms, call) {
  let waiting = false;
  let asked = false;
  const run = () => {
    call();
    waiting = true;
    setTimeout(() => {
      waiting = false;
      if (asked) {
        asked = false;
        run();
      }
    }, ms);
  };
  return () => {
    if (waiting) asked = true;
    else run();
  };
}

const WINDOW_MS = 10_000;
const LEAST_MS = 500;

/** How fast bytes go: over the last ten seconds. */
export class Speed {
  #samples = [];

  /** Note that `done` bytes are through at `now` milliseconds. */
  update(done, now) {
    if (this.#samples.length && done <= this.#samples.at(-1)[1]) {
      // looking for what is there already takes time, too, and moves nothing
      if (this.#samples.length === 1) this.#samples = [[now, done]];
      return;
    }
    this.#samples.push([now, done]);
    while (this.#samples.length > 2 && this.#samples[1][0] <= now - WINDOW_MS) this.#samples.shift();
  }

  /** Bytes a second of late, less and less while nothing moves; null while nothing can be said. */
  rate(now) {
    if (this.#samples.length < 2) return null;
    const [when, done] = this.#samples[0];
    const moved = this.#samples.at(-1)[1] - done;
    return moved && now - when >= LEAST_MS ? (moved * 1_000) / (now - when) : null;
  }
}
