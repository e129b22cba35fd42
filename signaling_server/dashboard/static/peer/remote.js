// A worker as a page sees it.

import { Download } from "./download.js";
import { PeerError, printable, tellAll } from "./errors.js";
import { Link } from "./link.js";
import { providersOf } from "./package.js";
import * as shapes from "./shapes.js";
import { Watch } from "./watch.js";

const MOST_JOBS = 20_000;

/** A worker, over a link that is kept up. Made by `Room.connect`. */
export class RemoteWorker {
  #link;
  #uploads = new Map();
  #transfers = new Set();
  #watches = new Map();
  #numbers = 1;

  /**
   * @param {string} workerId
   * @param {typeof TIMES} times
   * @param {(parts: object) => Promise<import("./session.js").Session>} dial
   */
  constructor(workerId, times, dial) {
    this.workerId = workerId;
    const deliver = (message) => this.#deliver(message);
    const handlers = {
      "transfer.progress": (message) => this.#progress(message),
      "job.events": deliver,
      "job.log": deliver,
      "job.watch.ended": deliver,
    };
    const parts = { handlers, providers: providersOf((transfer) => this.#find(transfer)) };
    this.#link = new Link(async () => {
      const session = await dial(parts);
      this.abilities = session.abilities;
      return session;
    }, times);
  }

  /** What the worker can do, by name. */
  abilities = new Set();

  /** "connecting" | "ready" | "lost" | "closed". */
  get state() {
    return this.#link.state;
  }

  /** Why the link is lost or closed, as a sentence. */
  get reason() {
    return this.#link.reason;
  }

  /** Be told each change of state and its reason; returns what ends that. */
  onState(listener) {
    return this.#link.onState(listener);
  }

  /** Make the first connection. */
  open() {
    return this.#link.open();
  }

  /** The jobs of the room that this worker has, the newest first; with `all` those that are over as well. */
  async jobs({ all = false } = {}) {
    const found = new Map();
    for (let before; ;) {
      const answer = await this.#ask({ type: "job.list", all, before }, "job.listed");
      const page = shapes.list(shapes.jobSummary, 64)(answer.jobs, "jobs");
      const fresh = page.filter(({ job }) => !found.has(job));
      for (const summary of fresh) found.set(summary.job, summary);
      // a worker that says "more" and sends nothing new would keep us for ever
      if (answer.more !== true || !fresh.length || found.size > MOST_JOBS) return [...found.values()];
      before = page.at(-1).job;
    }
  }

  /** How a job stands. */
  async show(job) {
    return accepted(job, await this.#ask({ type: "job.show", job }, "job.accepted"));
  }

  /**
   * Have the worker look at a package as it would at a submitted one; its files are sent as far as it lacks them.
   *
   * @param {string} job the id under which it may be submitted afterwards
   * @param {import("./package.js").Package} pkg
   * @param {object} options TrainOptions of the protocol
   * @param {{signal?: AbortSignal}} [how]
   */
  async inspect(job, pkg, options, { signal } = {}) {
    const message = { type: "job.inspect", job, name: pkg.name, manifest: pkg.manifest, options };
    return shapes.jobInspected(await this.#send(job, pkg, message, "job.inspected", signal));
  }

  /** Submit a package as a job; the same id again goes on where it stopped. See `inspect`. */
  async submit(job, pkg, options, { signal } = {}) {
    const message = { type: "job.submit", job, name: pkg.name, manifest: pkg.manifest, options };
    return accepted(job, await this.#send(job, pkg, message, "job.accepted", signal));
  }

  /**
   * Be told how far uploads are: `{transfer, here, arrived, paused}`, in bytes; returns what ends that.
   *
   * `here` did not have to be sent (or came over an earlier link), `arrived` was; `paused` says why nothing comes.
   */
  onTransfer(listener) {
    this.#transfers.add(listener);
    return () => this.#transfers.delete(listener);
  }

  /**
   * Follow a job to its end, across any number of links; returns what ends the watch.
   *
   * @param {string} job
   * @param {object} what
   * @param {number} [what.since] the number of the last event already seen
   * @param {boolean} [what.log] whether the log is wanted
   * @param {(events: object[]) => void} [what.onEvents]
   * @param {(text: string) => void} [what.onLog]
   * @param {(reason: string | null) => void} [what.onEnded] told null at the job's own end, else why no more is seen
   */
  watch(job, { since = 0, log = false, onEvents = () => {}, onLog = () => {}, onEnded = () => {} } = {}) {
    const watch = new Watch(job, this.#numbers++, { since, onEvents, onLog: log ? onLog : null });
    this.#watches.set(watch.number, watch);
    const stopped = new AbortController();
    const see = async (session) => {
      await session.request(watch.request, "ok");
      const ended = await Promise.race([watch.ended, session.closed.then((reason) => Promise.reject(reason))]);
      if (ended) throw ended;
    };
    this.#link
      .call(see, stopped.signal)
      .then(
        () => onEnded(null),
        (error) => stopped.signal.aborted || onEnded(sentenceOf(error)),
      )
      .finally(() => this.#watches.delete(watch.number));
    return () => stopped.abort();
  }

  /** "stop" keeps the best model so far, "cancel" discards. */
  async command(job, command) {
    await this.#ask({ type: "job.command", job, command }, "ok");
  }

  /** Let a job that was lost, failed or was stopped go on, as its next attempt. */
  async resume(job) {
    return accepted(job, await this.#ask({ type: "job.resume", job }, "job.accepted"));
  }

  /**
   * Bring a transfer of one file here.
   *
   * @param {string} transfer
   * @param {{onProgress?: (done: number, total: number) => void, signal?: AbortSignal}} [how]
   * @returns {Promise<{name: string, blob: Blob}>}
   */
  async download(transfer, how = {}) {
    const download = new Download(transfer, how);
    return this.#link.call((session) => download.run(session), how.signal);
  }

  /** Leave the worker; its jobs go on. */
  close() {
    return this.#link.close();
  }

  #ask(message, answer, limit) {
    return this.#link.call((session) => session.request(message, answer, limit));
  }

  async #send(job, pkg, message, answer, signal) {
    signal?.throwIfAborted();
    const offered = { pkg };
    this.#uploads.set(job, offered);
    try {
      return await this.#link.call((session) => session.request(message, answer, Infinity), signal);
    } finally {
      if (this.#uploads.get(job) === offered) this.#uploads.delete(job);
    }
  }

  #find(transfer) {
    const offered = this.#uploads.get(transfer);
    if (!offered) throw new PeerError("not_found", "This page offers no such files any more. Drop the package again.");
    return offered.pkg;
  }

  #progress(message) {
    const { transfer, here, arrived, paused } = progressOf(message);
    tellAll(this.#transfers, { transfer, here, arrived, paused });
    return { type: "ok" };
  }

  #deliver(message) {
    const watch = this.#watches.get(message.watch);
    if (!watch) throw new PeerError("not_found", "Nobody here watches that any more.");
    watch.take(message);
    return { type: "ok" };
  }
}

const progressOf = shapes.object({
  transfer: shapes.form(/^[A-Za-z0-9_-]{1,80}$/),
  here: shapes.integer(0),
  arrived: shapes.integer(0),
  paused: shapes.maybe(shapes.text(500)),
});

function accepted(job, answer) {
  const summary = shapes.jobSummary(answer.job, "job");
  if (summary.job !== job) throw new PeerError("protocol", "The worker told of another job than was asked about.");
  return summary;
}

const sentenceOf = (error) =>
  typeof error.code === "string"
    ? printable(error.message)
    : "This page failed inside; its browser's console says more.";
