// What one can do with a job of one's own: stop it, cancel it, let it go on, bring its results home.

import { h, replace } from "../../dom.js";
import { button, confirm, meter, problem, toast } from "../../ui.js";
import { percentText, sizeText } from "../../words.js";

const STOPPABLE = ["starting", "running"];
const RESUMABLE = ["failed", "lost"];
const WITH_RESULTS = ["done", "failed", "lost"];

/** The buttons of a job; `element` is what stands in the page, `below` what a download says. */
export class Actions {
  constructor(source, signal) {
    this.source = source;
    this.signal = signal;
    this.below = h("div", {});
    this.stop = button("Stop", () => this.#stop(), { class: "plain" });
    this.cancel = button("Cancel", () => this.#cancel(), { class: "plain" });
    this.resume = button("Resume", () => this.#resume(), { class: "plain" });
    this.fetch = button("Download results", () => this.#fetch());
    this.element = h("div.tools", {}, this.stop, this.cancel, this.resume, this.fetch);
    this.update();
  }

  /** Show what can be done as the job stands now. */
  update() {
    const { state, isMine, isOver, remote, job } = this.source;
    const mine = isMine && remote !== null;
    const stopped = state === "done" && [...job.runs.values()].some((run) => run.outcome === "stopped");
    this.stop.hidden = !mine || !STOPPABLE.includes(state);
    this.cancel.hidden = !mine || isOver || state === null;
    this.resume.hidden = !mine || !(RESUMABLE.includes(state) || stopped);
    this.fetch.hidden = !mine || !WITH_RESULTS.includes(state);
  }

  #stop() {
    confirm("Stop this job?",
      "It ends after the step it is at, then validates and saves: the best model so far is kept, and you can download it.",
      "Stop, and keep the best model", () => this.source.command("stop"), { danger: false, dismiss: "Let it run" });
  }

  #cancel() {
    confirm("Cancel this job?",
      "It ends at once, and what it has trained so far is discarded. To keep the best model, stop it instead.",
      "Cancel, and discard all", () => this.source.command("cancel"), { dismiss: "Let it run" });
  }

  async #resume() {
    this.resume.disabled = true;
    try {
      await this.source.resume();
      toast("The job waits for its turn, and goes on from its last checkpoint.");
      replace(this.below);
    } catch (error) {
      replace(this.below, problem(error));
    }
    this.resume.disabled = false;
  }

  async #fetch() {
    await bringHome(this.source.remote, `z_${this.source.jobId}`, { button: this.fetch, place: this.below, signal: this.signal });
  }
}

/**
 * Download a transfer of one file and hand it to the browser, with a bar that says how far it is.
 *
 * @param {RemoteWorker} remote the worker that has it.
 * @param {string} transfer what to ask for.
 * @param {{button: HTMLButtonElement, place: HTMLElement, signal: AbortSignal}} where pressed, told, and ended.
 */
export async function bringHome(remote, transfer, { button: pressed, place, signal }) {
  const bar = meter("Download");
  const give = new AbortController();
  const stop = button("Stop the download", () => give.abort(), { class: "plain small" });
  bar.show(0, 0, "The worker puts the files together …");
  replace(place, h("div.card", {}, bar.element, stop));
  pressed.disabled = true;
  try {
    const { name, blob } = await remote.download(transfer, {
      onProgress: (done, total) => bar.show(done, total, `${sizeText(done)} of ${sizeText(total)} (${percentText(done, total)})`),
      signal: AbortSignal.any([signal, give.signal]),
    });
    save(name, blob);
    replace(place, h("p.hint", { role: "status" }, "Downloaded as ", h("bdi", {}, name), "."));
  } catch (error) {
    if (give.signal.aborted) replace(place);
    else if (!signal.aborted) replace(place, problem(error));
  } finally {
    pressed.disabled = false;
  }
}

function save(name, blob) {
  const address = URL.createObjectURL(blob);
  h("a", { href: address, download: name }).click();
  // the browser reads it after this turn
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
