// What a page has seen of a job: it goes on over any number of links without a gap.

import { broken, fromWire, PeerError, printable } from "./errors.js";
import { event, integer, list } from "./shapes.js";

const ENDS = new Set(["done", "failed", "cancelled", "lost"]);

/** One watch of one job. */
export class Watch {
  #job;
  #seq;
  #offset;
  #onEvents;
  #onLog;
  #over = false;
  #end;

  /** Resolved with null at the job's own end, and with the error where it ended for another reason. */
  ended = new Promise((resolve) => (this.#end = resolve));

  /**
   * @param {string} job
   * @param {number} number tells this watch from others of the same link
   * @param {object} what
   * @param {number} what.since the number of the last event already seen
   * @param {(events: object[]) => void} what.onEvents told every event, in order, once
   * @param {((text: string) => void) | null} what.onLog told the log; null if it is not wanted
   */
  constructor(job, number, { since, onEvents, onLog }) {
    this.number = number;
    this.#job = job;
    this.#seq = since;
    this.#offset = onLog ? 0 : null;
    this.#onEvents = onEvents;
    this.#onLog = onLog;
  }

  /** What to ask a worker for, so that it goes on where the last link stopped. */
  get request() {
    const request = { type: "job.watch", job: this.#job, watch: this.number, since: this.#seq };
    return this.#offset === null ? request : { ...request, log_offset: this.#offset };
  }

  /** Take what the worker sent; whatever is wrong with it ends the watch. */
  take(message) {
    try {
      if (message.type === "job.events") this.#takeEvents(list(event, 4096)(message.events, "events"));
      else if (message.type === "job.log") this.#takeLog(message);
      else this.#finish(message.reason ? fromWire(message.reason) : null);
    } catch (error) {
      this.stop(error);
      throw error;
    }
  }

  /** End it. */
  stop(error) {
    this.#end(error);
  }

  #takeEvents(events) {
    const fresh = [];
    for (const each of events) {
      if (each.seq <= this.#seq) continue; // seen before the link dropped
      if (each.seq !== this.#seq + 1) throw broken("The worker left out an event of the job. Open the job again.");
      this.#seq = each.seq;
      // an end that a next attempt follows is history
      if (each.body.type === "state") this.#over = ENDS.has(each.body.state);
      fresh.push(each);
    }
    if (fresh.length) this.#onEvents(fresh);
  }

  #takeLog({ offset, text }) {
    integer(0)(offset, "offset");
    if (typeof text !== "string") throw broken("The worker sent a log that is no text.");
    if (!this.#onLog || offset <= this.#offset) return;
    this.#offset = offset;
    this.#onLog(printable(text, text.length));
  }

  #finish(reason) {
    if (this.#over) this.#end(null);
    else this.#end(reason ?? new PeerError("internal", "The worker stopped showing the job before it ended."));
  }
}
