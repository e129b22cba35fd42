// A package on its way to a worker: how far it is, how fast, and what it waits for.

import { meet } from "./links.js";
import { Speed } from "./pace.js";
import { meter } from "./ui.js";
import { durationText, percentText, sizeText } from "./words.js";

const TICK_MS = 500;

/** Sends a draft's package; `element` is what stands in the page while it is under way. */
export class Sending {
  constructor(roomId, signal) {
    Object.assign(this, { roomId, signal });
    this.bar = meter("Sending");
    this.element = this.bar.element;
  }

  /**
   * Have a worker do something for which it needs the package, and say meanwhile how far that is. Whoever would close
   * the page is asked whether they mean it.
   *
   * @param {string} workerId the worker.
   * @param {{job: string, pkg: Package}} sent under which id, and what.
   * @param {function(RemoteWorker): Promise<T>} work what it shall do.
   * @template T
   * @returns {Promise<T>}
   */
  async run(workerId, { job, pkg }, work) {
    this.far = { here: 0, arrived: 0, paused: null, total: pkg.size, link: "" };
    this.speed = new Speed();
    this.bar.show(0, 0, "Connecting to the worker …");
    const asks = (event) => event.preventDefault();
    addEventListener("beforeunload", asks);
    const timer = setInterval(() => this.#show(), TICK_MS);
    const stops = [];
    try {
      const remote = await meet(this.roomId, workerId, this.signal);
      this.bar.show(0, 0, "The worker looks what it has already …");
      stops.push(remote.onState((state, reason) => { this.far.link = state === "lost" ? reason || "it is down" : ""; }));
      stops.push(remote.onTransfer((told) => told.transfer === job && this.#take(told)));
      return await work(remote);
    } finally {
      for (const stop of stops) stop();
      clearInterval(timer);
      removeEventListener("beforeunload", asks);
    }
  }

  #take({ here, arrived, paused }) {
    Object.assign(this.far, { here, arrived, paused });
    this.speed.update(arrived, performance.now());
    this.#show();
  }

  #show() {
    const { here, arrived, paused, total, link } = this.far;
    const done = here + arrived;
    if (!done && !link && !paused) return;
    if (link) this.bar.show(done, total, `Reconnecting to the worker … (${link.replace(/[. ]+$/, "")}) It goes on where it was.`);
    else if (paused) this.bar.show(done, total, `Waiting: ${paused}`);
    else if (done >= total) this.bar.show(0, 0, `All of it is there${already(here)}. The worker looks into it …`);
    else this.bar.show(done, total, this.#words(done, total, here));
  }

  #words(done, total, here) {
    const rate = this.speed.rate(performance.now());
    const parts = [`${sizeText(done)} of ${sizeText(total)} (${percentText(done, total)})${already(here)}`];
    if (rate) parts.push(`${sizeText(rate)}/s`, `${durationText((total - done) / rate)} left`);
    return parts.join(", ");
  }
}

const already = (here) => (here ? `, ${sizeText(here)} of it was there already` : "");
