// What the numbered events of a job tell: its state, its runs, and each metric as columns of numbers. Pure.

const TIMED_EPOCHS = 5;
const MOST_RUNS = 64;
const MOST_METRICS = 64;
const MOST_NOTICES = 200;
const MOST_POINTS = 1_000_000;
// sleap-nn tells these of the epoch before the one that ends
const LATE = new Set(["train/loss", "train/lr"]);

/** One metric of a run: where in which epoch, and how much. Grows; a column that is full keeps every second point. */
export class Column {
  length = 0;

  constructor(most = MOST_POINTS) {
    this.most = most;
    this.epochs = new Float64Array(64);
    this.batches = new Float64Array(64);
    this.values = new Float64Array(64);
  }

  /**
   * Add a point.
   *
   * @param {number} epoch from 0; of a value for a whole epoch, the one after which it was measured, from 1.
   * @param {number} batch from 0; -1 for a value for a whole epoch.
   * @param {?number} value null where it was not finite.
   */
  push(epoch, batch, value) {
    if (this.length === this.most) this.#thin();
    if (this.length === this.values.length) this.#grow();
    this.epochs[this.length] = epoch;
    this.batches[this.length] = batch;
    this.values[this.length] = value ?? Number.NaN;
    this.length += 1;
  }

  /** Forget what was measured from the beginning of an epoch on: it is trained again. */
  forgetFrom(epoch) {
    const over = (at) => this.epochs[at] > epoch || (this.epochs[at] === epoch && this.batches[at] >= 0);
    while (this.length && over(this.length - 1)) this.length -= 1;
  }

  /** Where a point lies on an axis of epochs, if an epoch has `batches` batches. */
  place(at, batches) {
    return this.epochs[at] + (this.batches[at] + 1) / batches;
  }

  /** The newest value; undefined where there is none. */
  get last() {
    return this.length ? this.values[this.length - 1] : undefined;
  }

  #grow() {
    for (const name of ["epochs", "batches", "values"]) {
      const larger = new Float64Array(this.length * 2);
      larger.set(this[name]);
      this[name] = larger;
    }
  }

  #thin() {
    for (const name of ["epochs", "batches", "values"])
      for (let at = 0; at < this.length; at += 2) this[name][at / 2] = this[name][at];
    this.length = Math.ceil(this.length / 2);
  }
}

/** One run, as far as its events tell. Epochs are counted from 0 here, as in the events. */
export class Run {
  phase = "starting";
  epoch = null;
  epochsDone = 0;
  batches = 1;
  frames = null;
  outcome = null;
  error = null;
  metrics = {};
  columns = new Map();
  #marks = [];
  #again = false;

  constructor(name) {
    Object.assign(this, { name, index: 1, runs: 1, verb: "train", modelType: "", maxEpochs: null });
  }

  /** It begins: the first time, or once more after a resume; then what was measured before stays. */
  begin(body) {
    this.#again = this.columns.size > 0;
    Object.assign(this, { phase: "starting", epoch: null, frames: null, outcome: null, error: null });
    Object.assign(this, { index: body.index, runs: body.runs, verb: body.verb ?? "train", modelType: body.model_type });
    this.maxEpochs = body.max_epochs ?? null;
    this.#marks = [];
  }

  /** Take in an event of this run. */
  apply(body, time) {
    if (body.type === "run_started") this.begin(body);
    else if (body.type === "epoch_started") this.#epochStarted(body.epoch, time);
    else if (body.type === "step") this.#step(body);
    else if (body.type === "epoch_ended") this.#epochEnded(body, time);
    else if (body.type === "frames") {
      this.phase = body.stage === "track" ? "following" : "looking";
      this.frames = body;
    } else if (body.type === "run_ended") {
      this.phase = "ended";
      Object.assign(this, { outcome: body.outcome, error: body.error ?? null, metrics: body.metrics ?? {} });
    }
  }

  /** How long the last few epochs took, on average; null before the first one ended. */
  get secondsPerEpoch() {
    const marks = this.#marks;
    return marks.length < 2 ? null : Math.max(0, marks.at(-1) - marks[0]) / 1_000 / (marks.length - 1);
  }

  /** How long the epochs that are left will take at most; null where nothing tells. */
  get secondsLeft() {
    if (this.maxEpochs === null || this.secondsPerEpoch === null) return null;
    return Math.max(this.maxEpochs - this.epochsDone, 0) * this.secondsPerEpoch;
  }

  #epochStarted(epoch, time) {
    this.#forgetFrom(epoch);
    Object.assign(this, { phase: "training", epoch, epochsDone: epoch });
    if (!this.#marks.length) this.#marks.push(time);
  }

  #step({ epoch, batch, metrics }) {
    this.#forgetFrom(epoch);
    Object.assign(this, { phase: "training", epoch });
    this.batches = Math.max(this.batches, batch + 1);
    for (const [name, value] of Object.entries(metrics ?? {})) this.#column(name)?.push(epoch, batch, value);
  }

  #epochEnded({ epoch, metrics }, time) {
    Object.assign(this, { epoch, epochsDone: epoch + 1 });
    this.#marks = [...this.#marks, time].slice(-TIMED_EPOCHS - 1);
    if (this.maxEpochs !== null && epoch + 1 >= this.maxEpochs) this.phase = "evaluating";
    for (const [name, value] of Object.entries(metrics ?? {})) {
      const of = LATE.has(name) ? epoch : epoch + 1;
      if (of > 0) this.#column(name)?.push(of, -1, value);
    }
  }

  #forgetFrom(epoch) {
    if (!this.#again) return;
    this.#again = false;
    for (const column of this.columns.values()) column.forgetFrom(epoch);
  }

  #column(name) {
    if (!this.columns.has(name) && this.columns.size < MOST_METRICS) this.columns.set(name, new Column());
    return this.columns.get(name);
  }
}

/** A job: fold its events in with `apply`, in their order. */
export class Job {
  state = null;
  error = null;
  attempt = 1;
  position = null;
  startsIn = null;
  lastSeq = 0;
  runs = new Map();
  notices = [];

  /** Take in events as the wire brings them: `{seq, t, run, body}`. One that came before changes nothing. */
  apply(events) {
    for (const event of events) {
      if (event.seq <= this.lastSeq) continue;
      this.lastSeq = event.seq;
      this.#take(event);
    }
  }

  /** The run that is at work now. */
  get current() {
    return [...this.runs.values()].reverse().find((run) => run.phase !== "ended") ?? null;
  }

  #take({ run, body, t }) {
    if (body.type === "state") {
      Object.assign(this, { state: body.state, error: body.error ?? null, attempt: body.attempt ?? 1 });
      if (body.state !== "queued") Object.assign(this, { position: null, startsIn: null });
    } else if (body.type === "queued") {
      Object.assign(this, { position: body.position, startsIn: body.starts_in ?? null });
    } else if (body.type === "notice") {
      if (this.notices.length < MOST_NOTICES && !this.notices.includes(body.text)) this.notices.push(body.text);
    }
    if (run) this.#run(run).apply(body, t);
  }

  #run(name) {
    if (!this.runs.has(name)) {
      // a worker that makes up runs must not fill the page
      if (this.runs.size === MOST_RUNS) this.runs.delete(this.runs.keys().next().value);
      this.runs.set(name, new Run(name));
    }
    return this.runs.get(name);
  }
}
