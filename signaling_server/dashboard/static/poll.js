// Looking again and again, as long as somebody looks at the page.

/**
 * Call `look` now and every `ms` milliseconds, one call after the other, and not while the page is hidden.
 *
 * @param {function(): Promise} look what to do; what it throws is its own concern.
 * @param {number} ms between the end of one call and the next.
 * @param {AbortSignal} signal ends it.
 */
export async function poll(look, ms, signal) {
  while (!signal.aborted) {
    if (!document.hidden) await look();
    await pause(ms, signal);
  }
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
      removeEventListener("online", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const seen = () => !document.hidden && done();
    const timer = setTimeout(done, ms);
    document.addEventListener("visibilitychange", seen);
    addEventListener("online", done);
    signal.addEventListener("abort", done);
  });
}
