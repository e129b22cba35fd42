// What more than one view has to know: who is logged in, where the page is, which rooms there are, and the one in sight.

const listeners = new Set();
let state = { page: null, me: null, rooms: null, room: null };

/** The state as it is now; never changed in place. */
export const current = () => state;

/** Change a part of it, and tell whoever listens. */
export function change(part) {
  state = { ...state, ...part };
  for (const listener of [...listeners]) listener(state);
}

/**
 * Call `listener` whenever the state changes.
 *
 * @param {function(object): void} listener told the new state.
 * @param {AbortSignal} [signal] ends it.
 */
export function listen(listener, signal) {
  listeners.add(listener);
  signal?.addEventListener("abort", () => listeners.delete(listener));
}
