// A part of the page that is kept fresh.

import { keepingFocus, replace } from "./dom.js";
import { poll } from "./poll.js";
import { loading, problem } from "./ui.js";

/**
 * Show what `load` brings, now and whenever it changes, until the view is left.
 *
 * A refusal is shown in its place. While the service is away what stood there stays: the top of the page says so.
 *
 * @param {HTMLElement} root what it stands in; nothing else does.
 * @param {string} what what is loaded, in words: "rooms".
 * @param {function(): Promise} load asks the service.
 * @param {function(*): (Node|Node[])} show makes what is to be seen of the answer.
 * @param {{ms: number, signal: AbortSignal}} options between two looks; ends it.
 * @returns {function(): Promise} looks at once, as after a change.
 */
export function live(root, what, load, show, { ms, signal }) {
  let mark = null;
  let turn = 0;
  const put = (newMark, make) => {
    if (newMark === mark) return;
    mark = newMark;
    keepingFocus(root, () => replace(root, make()));
  };
  const look = async () => {
    const mine = ++turn;
    try {
      const data = await load();
      // "3 minutes ago" becomes untrue by itself
      if (mine === turn && !signal.aborted) put(JSON.stringify([data, Math.floor(Date.now() / 60_000)]), () => show(data));
    } catch (error) {
      if (signal.aborted || mine !== turn || (error.passing && mark !== null)) return;
      put(`problem ${error.message}`, () => problem(error));
    }
  };
  replace(root, loading(what));
  poll(look, ms, signal);
  return look;
}
