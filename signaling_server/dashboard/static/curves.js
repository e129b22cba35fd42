// The curves of one run: which of its metrics are shown, how, and as a table for whoever wants the numbers.

import { Chart, swatch } from "./chart.js";
import { h, replace } from "./dom.js";
import { atMostEvery } from "./pace.js";
import { valueText } from "./words.js";

const USUAL = ["train/loss", "val/loss"];
const FIRST = ["loss", "train_loss"];
const MOST_ROWS = 500;

/** The curves of a run; `element` is what stands in the page. */
export class Curves {
  /**
   * @param {string} name of the run.
   * @param {AbortSignal} signal ends it.
   */
  constructor(name, signal) {
    this.run = null;
    this.chosen = null;
    this.known = [];
    this.list = atMostEvery(1_000, () => this.#list());
    this.chart = new Chart(`Curves of ${name}`, signal);
    this.metrics = h("fieldset.metrics", {}, h("legend", {}, "Metrics"));
    this.log = h("input", { type: "checkbox", onchange: () => this.#show() });
    this.rows = h("div.values", { tabindex: "0", role: "region", "aria-label": `Values of ${name}` });
    this.table = h("details", { ontoggle: () => this.list() }, h("summary", {}, "Values as a table"), this.rows);
    this.element = h("div.curves", {}, this.chart.element,
      h("div.choices", {}, this.metrics, h("label.check", {}, this.log, "Logarithmic")), this.table);
  }

  /** Show what a run tells now. */
  update(run) {
    this.run = run;
    const names = [...run.columns.keys()].sort(usualFirst);
    if (names.join("\n") !== this.known.join("\n")) this.#offer(names);
    this.#show();
  }

  #offer(names) {
    this.known = names;
    replace(this.metrics, h("legend", {}, "Metrics"), names.map((name, look) => h("label.check", {},
      h("input", { type: "checkbox", checked: this.#isShown(name), onchange: (event) => this.#choose(name, event) }),
      swatch(look), h("bdi", {}, name))));
  }

  #choose(name, event) {
    this.chosen ??= new Set(this.known.filter((each) => this.#isShown(each)));
    if (event.target.checked) this.chosen.add(name);
    else this.chosen.delete(name);
    this.#show();
  }

  // until somebody chooses: the losses of training and validation, or what there is before the first epoch ends
  #isShown(name) {
    if (this.chosen) return this.chosen.has(name);
    const usual = USUAL.filter((each) => this.known.includes(each));
    const first = FIRST.filter((each) => this.known.includes(each));
    return (usual.length ? usual : first.length ? first : this.known.slice(0, 1)).includes(name);
  }

  #show() {
    const { columns, batches } = this.run;
    const lines = this.known.map((name, look) => ({ name, look, column: columns.get(name), batches }));
    this.chart.show(lines.filter(({ name, column }) => column && this.#isShown(name)), this.log.checked);
    if (this.table.open) this.list();
  }

  // a value for each epoch: the last one that was measured in it
  #list() {
    if (!this.table.open || !this.run) return;
    const names = this.known.filter((name) => this.#isShown(name));
    const epochs = new Map();
    for (const name of names) {
      const column = this.run.columns.get(name);
      for (let at = 0; at < (column?.length ?? 0); at += 1) {
        const epoch = column.batches[at] < 0 ? column.epochs[at] : column.epochs[at] + 1;
        if (!epochs.has(epoch)) epochs.set(epoch, {});
        epochs.get(epoch)[name] = column.values[at];
      }
    }
    const newest = [...epochs].sort(([one], [other]) => other - one).slice(0, MOST_ROWS);
    replace(this.rows, h("table", {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Epoch"), names.map((name) =>
        h("th", { scope: "col" }, h("bdi", {}, name))))),
      h("tbody", {}, newest.map(([epoch, values]) => h("tr", {}, h("th", { scope: "row" }, epoch),
        names.map((name) => h("td", {}, name in values ? valueText(values[name]) : "")))))),
    epochs.size > MOST_ROWS && h("p.hint", {}, `The last ${MOST_ROWS} of ${epochs.size} epochs.`));
  }
}

function usualFirst(one, other) {
  const place = (name) => ([...USUAL, ...FIRST].indexOf(name) + 1 || 99);
  return place(one) - place(other) || (one < other ? -1 : 1);
}
