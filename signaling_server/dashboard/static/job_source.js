// All that a page can know of one job: what the service was told of it, and, where it is mine, all that its worker tells.

import { get, path } from "./api.js";
import { meet } from "./links.js";
import { poll } from "./poll.js";
import { Job } from "./series.js";

const EVERY_MS = 4_000;
/** After which a worker that refused the link, or was refused, is dialled again: its owner may have set that right. */
const REFUSED_MS = 15_000;
/** States of jobs that are over, unless they are resumed. */
export const OVER = ["done", "failed", "cancelled", "lost"];
const WORKER_OF = "sleap-rtc:worker-of:";

/** Note which worker a job was given to: the service knows it only a moment later. */
export const noteWorker = (job, workerId) => sessionStorage.setItem(WORKER_OF + job, workerId);

/** What is known of a job; `onChange` is called whenever that is more, `onLog` with each part of its log. */
export class JobSource {
  /** What the service was told; null before, and where it was not told yet. */
  listed = null;
  /** How the worker says that the job stands; null before it did. */
  summary = null;
  /** What the job's events told. */
  job = new Job();
  /** How the link is: "none", "connecting", "ready", "lost" or "away", and why. */
  link = { state: "none", reason: "" };
  /** Why the service shows nothing, as an error. */
  trouble = null;
  /** Why the worker tells no more, as an error. */
  refusal = null;
  /** The worker, while there is a link to it. */
  remote = null;
  #stops = [];
  #watched = false;
  #refusedAt = 0;

  constructor(roomId, jobId, { onChange, onLog, onAgain }) {
    Object.assign(this, { roomId, jobId, onChange, onLog, onAgain });
  }

  /** Look, and go on looking until the view is left. */
  start(signal) {
    this.signal = signal;
    signal.addEventListener("abort", () => this.#stop());
    poll(() => this.#look(), EVERY_MS, signal);
  }

  /** The job's state, as whoever knows it best says. */
  get state() {
    return this.job.state ?? this.summary?.state ?? this.listed?.state ?? null;
  }

  get isOver() {
    return OVER.includes(this.state);
  }

  /** Whether it may be watched and told what to do. */
  get isMine() {
    return this.summary?.mine ?? this.listed?.mine ?? true;
  }

  get workerId() {
    return this.listed?.worker_id ?? sessionStorage.getItem(WORKER_OF + this.jobId);
  }

  /** Stop it, and keep the best model so far; or cancel it, and discard all. */
  command(command) {
    return this.remote.command(this.jobId, command);
  }

  /** Let it go on after its end. */
  async resume() {
    this.summary = await this.remote.resume(this.jobId);
    this.#watch();
    this.onChange();
  }

  async #look() {
    try {
      this.listed = await this.#listing();
      this.trouble = null;
    } catch (error) {
      if (this.signal.aborted) return;
      this.trouble = this.summary || error.passing ? null : error;
    }
    const here = this.listed?.worker_online ?? true;
    const refused = this.link.state === "refused" && Date.now() - this.#refusedAt < REFUSED_MS;
    if (!this.remote && this.isMine && this.workerId && here && !refused) await this.#meet();
    else if (!here && !this.remote) this.link = { state: "away", reason: "" };
    // somebody let it go on, elsewhere: what was watched to its end has more to tell
    if (this.#watched && this.remote && this.listed?.attempt > this.job.attempt) this.#watch();
    this.onChange();
  }

  // of a job that was started here a moment ago the service may not know yet, and that is no error
  async #listing() {
    const [asked, early] = [{ signal: this.signal }, !this.listed && this.workerId];
    if (!early) return get(path`rooms/${this.roomId}/jobs/${this.jobId}`, asked);
    const { jobs } = await get(path`rooms/${this.roomId}/jobs`, asked);
    return jobs.find((each) => each.job_id === this.jobId) ?? null;
  }

  async #meet() {
    // what was said of the last attempt stays until there is news
    if (!["away", "refused"].includes(this.link.state)) this.link = { state: "connecting", reason: "" };
    this.onChange();
    try {
      this.remote = await meet(this.roomId, this.workerId, this.signal);
    } catch (error) {
      this.#notLinked(error.code === "authentication" ? "refused" : "away", error.message);
      return;
    }
    if (this.signal.aborted) return;
    this.#stops.push(this.remote.onState((state, reason) => this.#linked(state, reason)));
    this.#linked(this.remote.state, this.remote.reason);
    this.#watch();
  }

  #linked(state, reason) {
    this.link = { state, reason };
    if (state === "closed") {
      this.#notLinked("refused", reason);
      this.#stop();
    }
    this.onChange();
  }

  #notLinked(state, reason) {
    this.link = { state, reason };
    if (state === "refused") this.#refusedAt = Date.now();
  }

  #stop() {
    for (const stop of this.#stops.splice(0)) stop();
    this.remote = null;
  }

  #watch() {
    this.#watched = false;
    this.onAgain();
    this.#ask();
    let state = null;
    this.#stops.push(this.remote.watch(this.jobId, {
      since: this.job.lastSeq,
      log: true,
      onEvents: (events) => {
        this.job.apply(events);
        if (this.job.state !== state) this.#ask();
        state = this.job.state;
        this.onChange();
      },
      onLog: this.onLog,
      onEnded: (reason) => {
        this.#watched = !reason;
        this.refusal = reason ? new Error(reason) : null;
        this.#ask();
        this.onChange();
      },
    }));
  }

  // what no event tells: the job's name, and what it will run
  async #ask() {
    try {
      this.summary = await this.remote.show(this.jobId);
      this.onChange();
    } catch {
      // the watch says what is wrong
    }
  }
}
