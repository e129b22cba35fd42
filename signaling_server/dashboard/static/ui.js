// The small parts that views are made of.

import { now } from "./clock.js";
import { byKey, h, replace } from "./dom.js";

const SHORT = 20;

/** What went wrong, as a sentence that is read out. */
export const problem = (error) => h("p.problem", { role: "alert" }, error.message ?? String(error));

/** What is said where a list has nothing in it, and what to do about that. */
export const empty = (sentence, ...actions) => h("div.empty", {}, h("p", {}, sentence), actions);

/** Shown while something is on its way. */
export const loading = (what) => h("p.loading", { role: "status" }, `Loading ${what} …`);

export const button = (label, onclick, props = {}) => h("button", { type: "button", onclick, ...props }, label);

export const badge = (text, kind = "") => h("span.badge", { class: kind }, text);

/** The name of somebody or something that others chose; a short one is not broken in a table. */
export const name = (text) => h("bdi", { class: shortness(text) }, text);

const shortness = (text) => (typeof text !== "object" && String(text).length <= SHORT ? "short" : "");

/** "1 worker", "3 workers". */
export const count = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;

/**
 * A field with its label and, below, a hint.
 *
 * @param {string} label what it is called.
 * @param {HTMLElement} input the field itself; it needs an id.
 */
export function field(label, input, hint = "") {
  if (hint) input.setAttribute("aria-describedby", `${input.id}-hint`);
  return h("div.field", {}, h("label", { for: input.id }, label), input, hint && h("p.hint", { id: `${input.id}-hint` }, hint));
}

/** A list to choose from. `options` are pairs of value and label. */
export const select = (id, options, value, props = {}) =>
  h("select", { id, ...props }, options.map(([key, label]) =>
    h("option", { value: key, selected: String(key) === String(value) }, label)));

/**
 * A bar that fills, with words below it: `show(done, total, words)`; without a total it only says that something goes on.
 *
 * @param {string} label what fills it, for those who do not see it.
 */
export function meter(label) {
  const bar = h("progress", { max: 1, "aria-label": label });
  const words = h("p.hint", {});
  const show = (done, total, text = "") => {
    if (total) bar.value = Math.min(done / total, 1);
    else bar.removeAttribute("value");
    words.textContent = text;
  };
  return { element: h("div.progress", {}, bar, words), show };
}

/** Pairs of a word and what stands for it. */
export const facts = (pairs) => h("dl.facts", {}, pairs.map(([word, ...what]) =>
  h("div", {}, h("dt", {}, word), h("dd", {}, what))));

/**
 * A table; on a phone each row is a block of its own.
 *
 * @param {string} label what it lists.
 * @param {string[]} columns their names; the last may be "" where a row has its buttons.
 * @param {Array<Array>} rows what stands in each cell; the first one names the row.
 */
export function table(label, columns, rows) {
  // a row that is laid out as a block loses its role, unless that is said
  const cell = (content, at) => at === 0
    ? h("th", { scope: "row", role: "rowheader" }, content)
    : h("td", { role: "cell", "data-label": columns[at], class: columns[at] ? shortness(content) : "buttons" }, content);
  return h("table", { role: "table", "aria-label": label },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, columns.map((column) =>
      h("th", { scope: "col", role: "columnheader" }, column || h("span.unseen", {}, "Actions"))))),
    h("tbody", { role: "rowgroup" }, rows.map((cells) => h("tr", { role: "row" }, cells.map(cell)))));
}

/** A short message that goes away by itself. */
export function toast(text) {
  const note = h("div.toast", {}, text);
  document.getElementById("toasts").append(note);
  setTimeout(() => note.remove(), 6_000);
}

/** A text in a box of its own, with a button that copies it. */
export function copyable(text, label = "Copy") {
  const copy = button(label, async () => {
    try {
      await navigator.clipboard.writeText(text);
      copy.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      copy.textContent = "Press Ctrl+C";
    }
    setTimeout(() => { copy.textContent = label; }, 2_000);
  }, { class: "plain small" });
  const code = h("code", {}, text);
  return h("div.copyable", {}, h("pre", { tabindex: "0" }, code), copy);
}

const AGO = new Intl.RelativeTimeFormat("en", { numeric: "always" });
// each from where it is the better word: a room of 30 days lives for 30 days, not for a month
const UNITS = [["year", 31_536_000, 1], ["month", 2_592_000, 2], ["day", 86_400, 1], ["hour", 3_600, 1], ["minute", 60, 1]];

/** A time (UTC milliseconds) as "3 days ago", and exactly when one points at it. */
export function when(ms, never = "never") {
  if (ms === null || ms === undefined) return h("span", {}, never);
  const seconds = (ms - now()) / 1_000;
  // what was just made for a day lives for a day, not for 23 hours
  const [unit, size] = UNITS.find(([, length, from]) => Math.abs(seconds) >= 0.98 * length * from) ?? ["second", 1];
  const at = new Date(ms);
  return h("time", { datetime: at.toISOString(), title: at.toLocaleString() },
    seconds <= 0 && seconds > -5 ? "just now" : AGO.format(Math.round(seconds / size), unit));
}

/**
 * A dialog with a form in it.
 *
 * @param {string|Node} title what it asks.
 * @param {Node[]} content what stands in it.
 * @param {string} verb what its button says.
 * @param {function(FormData): Promise} act does it; what it throws is shown, and the dialog stays. If it returns a
 *   function, that is called once the dialog is closed.
 * @param {{danger: boolean, dismiss: string}} [options] whether something is lost by it, and what the button says that
 *   leaves all as it is.
 */
export function ask(title, content, verb, act, { danger = false, dismiss = "Cancel" } = {}) {
  const trouble = h("div", {});
  const send = h("button", { class: danger ? "danger" : "" }, verb);
  const cancel = button(dismiss, () => dialog.close(), { class: "plain" });
  const form = h("form", { method: "dialog" }, content, trouble, h("div.actions", {}, cancel, send));
  const dialog = shownDialog(title, form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    send.disabled = true;
    try {
      const next = await act(new FormData(form));
      if (typeof next === "function") dialog.addEventListener("close", next, { once: true });
      dialog.close();
    } catch (error) {
      replace(trouble, problem(error));
    } finally {
      send.disabled = false;
    }
  });
  return dialog;
}

/** Ask before something is done that cannot be taken back. */
export const confirm = (title, sentence, verb, act, options) =>
  ask(title, [h("p", {}, sentence)], verb, act, { danger: true, ...options });

/** Show something that is to be read, and copied perhaps, before the page goes on. */
export function reveal(title, content) {
  const done = h("button", {}, "Done");
  return shownDialog(title, h("form", { method: "dialog" }, content, h("div.actions", {}, done)), "wide");
}

function shownDialog(title, form, kind = "") {
  const id = `dialog-${crypto.randomUUID()}`;
  const from = document.activeElement?.dataset.key;
  const dialog = h("dialog", { "aria-labelledby": id, class: kind }, h("h2", { id }, title), form);
  dialog.addEventListener("close", () => {
    dialog.remove();
    // what opened it may have been drawn anew since
    if (document.activeElement === document.body && from) byKey(from)?.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
