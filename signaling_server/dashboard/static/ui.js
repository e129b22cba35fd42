// The small parts that views are made of.

import { h, replace } from "./dom.js";

/** What went wrong, as a sentence that is read out. */
export const problem = (error) => h("p.problem", { role: "alert" }, error.message ?? String(error));

/** What is said where a list has nothing in it, and what to do about that. */
export const empty = (sentence, ...actions) => h("div.empty", {}, h("p", {}, sentence), actions);

/** Shown while something is on its way. */
export const loading = (what) => h("p.loading", { role: "status" }, `Loading ${what} …`);

export const button = (label, onclick, props = {}) => h("button", { type: "button", onclick, ...props }, label);

export const badge = (text, kind = "") => h("span.badge", { class: kind }, text);

/**
 * A field with its label and, below, a hint.
 *
 * @param {string} label what it is called.
 * @param {HTMLElement} input the field itself; it needs an id.
 */
export const field = (label, input, hint = "") =>
  h("div.field", {}, h("label", { for: input.id }, label), input, hint && h("p.hint", {}, hint));

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
  return { element: h("div.meter", {}, bar, words), show };
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

const AGO = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const UNITS = [["year", 31_536_000], ["month", 2_592_000], ["day", 86_400], ["hour", 3_600], ["minute", 60]];

/** A time (UTC milliseconds) as "3 days ago", and exactly when one points at it. */
export function when(ms, never = "never") {
  if (ms === null || ms === undefined) return h("span", {}, never);
  const seconds = (ms - Date.now()) / 1_000;
  const [unit, size] = UNITS.find(([, length]) => Math.abs(seconds) >= length) ?? ["second", 1];
  const at = new Date(ms);
  return h("time", { datetime: at.toISOString(), title: at.toLocaleString() },
    AGO.format(Math.trunc(seconds / size), unit));
}

/**
 * A dialog with a form in it.
 *
 * @param {string} title what it asks.
 * @param {Node[]} content what stands in it.
 * @param {string} verb what its button says.
 * @param {function(FormData): Promise} act does it; what it throws is shown, and the dialog stays.
 * @param {{danger: boolean}} [options] whether something is lost by it.
 */
export function ask(title, content, verb, act, { danger = false } = {}) {
  const id = `dialog-${crypto.randomUUID()}`;
  const trouble = h("div", {});
  const send = h("button", { class: danger ? "danger" : "" }, verb);
  const form = h("form", { method: "dialog" },
    h("h2", { id }, title), content, trouble,
    h("div.actions", {}, button("Cancel", () => dialog.close(), { class: "plain" }), send));
  const dialog = h("dialog", { "aria-labelledby": id, onclose: () => dialog.remove() }, form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    send.disabled = true;
    try {
      await act(new FormData(form));
      dialog.close();
    } catch (error) {
      replace(trouble, problem(error));
    } finally {
      send.disabled = false;
    }
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Ask before something is done that cannot be taken back. */
export const confirm = (title, sentence, verb, act) => ask(title, [h("p", {}, sentence)], verb, act, { danger: true });
