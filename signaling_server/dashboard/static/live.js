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
  let turn = 0;
  const draw = drawing(root, show);
  const refuse = drawing(root, (message) => problem({ message }));
  const look = async () => {
    const mine = ++turn;
    try {
      const data = await load();
      if (mine !== turn || signal.aborted) return;
      refuse.forget();
      draw(data);
    } catch (error) {
      if (signal.aborted || mine !== turn || error.passing) return;
      draw.forget();
      refuse(error.message);
    }
  };
  replace(root, loading(what));
  poll(look, ms, signal);
  return look;
}

/**
 * Draw something again only when it would look otherwise; whatever has the focus in there keeps it.
 *
 * @param {HTMLElement} root what it stands in; nothing else does.
 * @param {function(*): (Node|Node[])} show makes what is to be seen of some data.
 * @returns {function(*): void} given the data; its `forget()` says that something else stands there now.
 */
export function drawing(root, show) {
  let mark = null;
  const draw = (data) => {
    // "3 minutes ago" becomes untrue by itself
    const next = JSON.stringify([data, Math.floor(Date.now() / 60_000)]);
    if (next === mark) return;
    mark = next;
    keepingFocus(root, () => replace(root, show(data)));
  };
  draw.forget = () => {
    mark = null;
  };
  return draw;
}
