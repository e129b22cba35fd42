// The second step of a new job: the worker, picked from those that are online, or by the rule.

import { gpuText, isFree, ranked, reason, RULE, waitingText } from "../../choice.js";
import { h, replace } from "../../dom.js";
import { link } from "../../router.js";
import { badge, count, empty, name } from "../../ui.js";

/** The step; `element` is what stands in the page. `onWorker` is told when another worker would be taken. */
export class WorkerStep {
  #rows = new Map();
  #workers = [];

  constructor(draft, room, signal, onWorker) {
    Object.assign(this, { draft, room, onWorker });
    this.auto = this.#row("", [h("b", {}, "Pick for me"), h("span.quiet", {}, `: ${RULE}`)]);
    this.list = h("div", {});
    this.told = h("p.hint", { role: "status" });
    this.trouble = h("div", {});
    this.element = h("section.card", {},
      h("fieldset.workers", {}, h("legend", {}, "2. Worker"), this.auto.row, this.list), this.trouble, this.told);
    signal.addEventListener("abort", room.onWorkers((workers, trouble) => this.#show(workers, trouble)));
  }

  /** The worker that is meant now; null where none is online, or the picked one is not. */
  get worker() {
    const online = (id) => this.#workers.find((each) => each.worker_id === id);
    if (this.draft.worker) return online(this.draft.worker) ?? null;
    // one that has the package already, or a part of it, costs nobody another hour
    return online(this.draft.sentTo) ?? ranked(this.#workers)[0] ?? null;
  }

  /** Say again which worker is meant: the package is another one. */
  update() {
    this.#say();
  }

  /** Let nobody change it while the package is on its way. */
  set disabled(is) {
    for (const radio of this.element.querySelectorAll("input")) radio.disabled = is;
  }

  #show(workers, trouble) {
    this.#workers = workers;
    const here = new Set(workers.map((each) => each.worker_id));
    for (const [id, { row }] of this.#rows) {
      if (here.has(id)) continue;
      row.remove();
      this.#rows.delete(id);
    }
    for (const worker of ranked(workers)) {
      if (!this.#rows.has(worker.worker_id)) this.#rows.set(worker.worker_id, this.#row(worker.worker_id, []));
      const { row, text } = this.#rows.get(worker.worker_id);
      replace(text, described(worker));
      // appended only where the order changed: the focus stays
      if (!row.isConnected) this.list.append(row);
    }
    replace(this.trouble, !workers.length && empty("No worker of this room is online. A job needs one, on a machine with a GPU.",
      h("a.button.plain", { href: link("rooms", this.room.roomId, "workers") }, "Start a worker")),
      trouble && h("p.hint", {}, `The list may be old: ${trouble}`));
    this.#say();
    this.onWorker();
  }

  #row(id, content) {
    const radio = h("input", { type: "radio", name: "worker", value: id, checked: this.draft.worker === id,
      onchange: () => this.#choose(id) });
    const text = h("span", {}, content);
    return { row: h("label.worker", {}, radio, text), text };
  }

  #choose(id) {
    this.draft.worker = id;
    this.#say();
    this.onWorker();
  }

  #say() {
    const { worker } = this;
    if (worker === null) {
      replace(this.told, this.draft.worker && this.#workers.length ? "The worker that was picked is offline now. Pick another one, or wait." : "");
    } else {
      const because = worker.worker_id === this.draft.sentTo ? "it has this package, or a part of it." : reason(worker, this.#workers);
      const why = this.draft.worker ? "" : ` (${gpuText(worker)}): ${because}`;
      replace(this.told, "It goes to ", h("b", {}, name(worker.name)), why || ".", " ", waitingText(worker));
    }
  }
}

function described(worker) {
  const { info } = worker;
  const state = isFree(worker) ? badge("free", "good") : badge("busy", "warn");
  const slots = info.slots > 1 ? `${info.busy} of ${info.slots} GPUs at work` : "";
  const queue = info.queued ? `${count(info.queued, "job")} waiting` : "";
  const nn = info.sleap_nn ? `sleap-nn ${info.sleap_nn}` : "";
  return [h("b", {}, name(worker.name)), " ", state, " ",
    h("span.quiet", {}, name([gpuText(worker), slots, queue, nn].filter(Boolean).join(" · ")))];
}
