// The last steps of a new job: the package is sent, the worker says what it would train, and then it does.

import { forget, jobIdOf, noteSentTo } from "../../draft.js";
import { h, replace } from "../../dom.js";
import { noteWorker } from "../../job_source.js";
import { go, link } from "../../router.js";
import { Sending } from "../../sending.js";
import { button, count, problem } from "../../ui.js";
import { sizeText } from "../../words.js";
import { optionsOf, settings } from "./new_settings.js";

const HEADS = ["Model", "Type", "Backbone", "Epochs", "Batch", "Learning rate", "Scale", "GPUs"];

/** The steps; `element` is what stands in the page. */
export class PlanStep {
  #asked = 0;
  #stopped = new AbortController();

  /**
   * @param {string} room its id.
   * @param {object} draft what was picked.
   * @param {{worker: ?object, disabled: boolean}} workers the step before.
   * @param {AbortSignal} signal ends it.
   */
  constructor(room, draft, workers, signal) {
    Object.assign(this, { room, draft, workers, signal });
    this.sending = new Sending(room, signal);
    this.look = button("Send and check", () => this.#begin());
    this.stop = button("Stop sending", () => this.#stopped.abort(), { class: "plain" });
    this.start = button("Start training", () => this.#start());
    this.hint = h("p.hint", {});
    this.trouble = h("div", {});
    this.under = h("div", {});
    this.plan = h("div", {});
    this.element = h("section.card", { "aria-labelledby": "plan-head" },
      h("h3", { id: "plan-head" }, "3. Training"), this.plan, this.under, this.trouble,
      h("div.tools", {}, this.look, this.start, this.stop), this.hint);
    signal.addEventListener("abort", () => this.#stopped.abort());
    if (draft.inspected) this.#take(draft.inspected);
    this.#show();
  }

  /** Another package, or another worker: what was said of it before counts no more. */
  update() {
    // picked anew, not merely ranked anew: what was sent stays sent
    if (this.draft.inspected && this.draft.worker !== this.draft.sentFor) Object.assign(this.draft, { inspected: null });
    if (!this.draft.pkg) Object.assign(this.draft, { inspected: null, before: null, values: {} });
    this.#show();
  }

  get #job() {
    return jobIdOf(this.room, this.draft.pkg.manifest.digest);
  }

  #show(busy = this.busy) {
    this.busy = busy;
    const { pkg, inspected } = this.draft;
    const ready = pkg && this.workers.worker;
    this.workers.update();
    this.look.hidden = Boolean(inspected) || busy;
    this.look.disabled = !ready;
    this.start.hidden = !inspected || busy;
    this.stop.hidden = !busy;
    this.workers.disabled = busy;
    if (!busy) replace(this.under);
    if (!inspected) replace(this.plan);
    replace(this.hint, !inspected && !busy && (ready
      ? "The package is sent to the worker, which says what it would train. Nothing starts yet."
      : "Pick a package and a worker first."));
  }

  async #begin() {
    const { worker_id: worker } = this.workers.worker;
    Object.assign(this.draft, { sentTo: worker, sentFor: this.draft.worker });
    noteSentTo(this.room, this.draft.pkg.manifest.digest, worker);
    await this.#do("Send", async (remote, how) => {
      this.#take(await this.#inspected(remote, how));
      this.plan.querySelector("input")?.focus();
    });
  }

  #inspected(remote, { signal }) {
    if (!remote.abilities.has("inspect")) {
      throw new Error("This worker cannot say beforehand what it would train. Ask its owner to upgrade sleap-rtc there, or use 'sleap-rtc train'.");
    }
    return remote.inspect(this.#job, this.draft.pkg, optionsOf(this.draft), { signal });
  }

  #take(inspected) {
    this.draft.inspected = inspected;
    this.draft.before ??= inspected.runs;
    this.table = h("div", {}, planned(inspected));
    replace(this.plan, this.table, h("h4", {}, "Settings"),
      h("p.hint", {}, "What you leave empty stays as the package says."), settings(this.draft, () => this.#again()));
  }

  // the settings were changed: the worker says once more what it would train, and needs no byte for that
  async #again() {
    this.#asked += 1;
    const asked = this.#asked;
    this.start.disabled = true;
    try {
      const inspected = await this.sending.run(this.draft.sentTo, { job: this.#job, pkg: this.draft.pkg },
        (remote) => this.#inspected(remote, { signal: this.signal }));
      if (asked !== this.#asked) return;
      this.draft.inspected = inspected;
      replace(this.table, planned(inspected));
      replace(this.trouble);
      this.start.disabled = false;
    } catch (error) {
      if (asked === this.#asked && !this.signal.aborted) replace(this.trouble, problem(error));
    }
  }

  async #start() {
    const job = this.#job;
    await this.#do("Start", async (remote, how) => {
      await remote.submit(job, this.draft.pkg, optionsOf(this.draft), how);
      noteWorker(job, this.draft.sentTo);
      forget(this.room);
      go("rooms", this.room, "jobs", job);
    }, (error) => error.code === "conflict" &&
      h("p", {}, h("a", { href: link("rooms", this.room, "jobs", job) }, "Look at the job that was sent under this id.")));
  }

  async #do(what, work, also = () => null) {
    const { signal } = (this.#stopped = new AbortController());
    const leave = () => this.#stopped.abort();
    this.signal.addEventListener("abort", leave);
    replace(this.trouble);
    replace(this.under, this.sending.element);
    this.#show(true);
    try {
      await this.sending.run(this.draft.sentTo, { job: this.#job, pkg: this.draft.pkg },
        (remote) => work(remote, { signal }));
    } catch (error) {
      if (!signal.aborted) replace(this.trouble, problem(error), also(error));
      else replace(this.trouble, h("p.hint", { role: "status" }, "Stopped. What has arrived there is not sent again."));
    } finally {
      this.signal.removeEventListener("abort", leave);
      if (!this.signal.aborted) this.#show(false);
    }
  }
}

// what would be trained, as the worker read it
function planned({ runs, labels, notices, size, files }) {
  return [
    h("p", { role: "status" }, `${count(runs.length, "model")} to train`, labels ? ` on ${labelsText(labels)}` : "",
      `. ${count(files, "file")}, ${sizeText(size)}.`),
    h("div.scroll", { tabindex: "0", role: "region", "aria-label": "What would be trained" }, h("table", {},
      h("thead", {}, h("tr", {}, HEADS.map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, runs.map(row)))),
    notices.length > 0 && h("ul.notices", {}, notices.map((text) => h("li", {}, h("bdi", {}, text)))),
  ];
}

function row(run) {
  const values = [run.backbone, run.max_epochs, run.batch_size, run.learning_rate, run.scale, run.devices];
  return h("tr", {},
    h("th", { scope: "row", title: run.config }, h("bdi", {}, run.name)), h("td", {}, h("bdi", {}, run.model_type)),
    values.map((value) => h("td", {}, value === null || value === undefined ? "–" : h("bdi", {}, value))));
}

function labelsText({ frames, instances, videos }) {
  const parts = [count(frames, "labelled frame")];
  if (instances) parts.push(count(instances, "instance"));
  if (videos) parts.push(count(videos, "video"));
  return parts.join(", ");
}
