// What lists of rooms and of tokens have in common: how long things live, and a box to find one among many.

import { h } from "../dom.js";
import { field } from "../ui.js";

const MANY = 8;

/** For how long a room or a token may be made. */
export const LIVES = [[1, "1 day"], [7, "7 days"], [30, "30 days"], [90, "90 days"], ["", "Never expires"]];

/** What a form says about that, in the service's words: null for ever. */
export const lifetime = (form) => (form.get("days") ? Number(form.get("days")) : null);

/**
 * A box for words to look for; out of sight while there is little to look through.
 *
 * @param {string} label what it is for.
 * @param {function(): void} onChange called when something else is looked for.
 */
export function filterBox(label, onChange) {
  const input = h("input", { id: "filter", type: "search", autocomplete: "off", oninput: onChange });
  const element = h("search.filter", { hidden: true }, field(label, input));
  return {
    element,
    update: (number) => { element.hidden = number <= MANY && !input.value; },
    matches: (...texts) => {
      const wanted = input.value.trim().toLowerCase();
      return texts.some((text) => text.toLowerCase().includes(wanted));
    },
  };
}
