// What a stranger's JSON may look like: each shape returns a clean copy of a value, or throws.

import { broken, fromWire, printable } from "./errors.js";
import { isId } from "./ids.js";

const wrong = (where) => broken(`The other side sent a wrong value at '${where}'.`);

/** Text of at most so many characters, freed of what steers a terminal or turns letters round. */
export const text = (most) => (value, where) => {
  if (typeof value !== "string" || value.length > most) throw wrong(where);
  return printable(value, most);
};

/** The same, on one line. */
export const line = (most) => (value, where) => text(most)(value, where).split(/\s+/).filter(Boolean).join(" ");

/** An integer from `least` to `most`. */
export const integer =
  (least, most = Number.MAX_SAFE_INTEGER) =>
  (value, where) => {
    if (!Number.isSafeInteger(value) || value < least || value > most) throw wrong(where);
    return value;
  };

/** A finite number. */
export const number = (value, where) => {
  if (!Number.isFinite(value)) throw wrong(where);
  return value;
};

const flag = (value, where) => {
  if (typeof value !== "boolean") throw wrong(where);
  return value;
};

/** An id of a kind of protocol/ids.py. */
export const id = (kind) => (value, where) => {
  if (!isId(kind, value)) throw wrong(where);
  return value;
};

/** Text of a form. */
export const form = (pattern) => (value, where) => {
  if (typeof value !== "string" || !pattern.test(value)) throw wrong(where);
  return value;
};

const oneOf =
  (...words) =>
  (value, where) => {
    if (!words.includes(value)) throw wrong(where);
    return value;
  };

/** What may be missing; `instead` stands for it. */
export const maybe =
  (shape, instead = null) =>
  (value, where) =>
    value === undefined || value === null ? instead : shape(value, where);

/** A list of at most so many. */
export const list = (shape, most) => (value, where) => {
  if (!Array.isArray(value) || value.length > most) throw wrong(where);
  return value.map((each, at) => shape(each, `${where}.${at}`));
};

/** Numbers by name, null for one that is not finite. */
export const metrics = (value, where) => {
  const found = Object.entries(isObject(value) ? value : wrongly(where)).filter(([name]) => name.length <= 128);
  const clean = found.map(([name, each]) => [printable(name), each === null ? null : number(each, `${where}.${name}`)]);
  return Object.fromEntries(clean);
};

/** An object with these fields; others are left out. */
export const object =
  (fields) =>
  (value, where = "") => {
    if (!isObject(value)) throw wrong(where);
    const own = (name) => (Object.hasOwn(value, name) ? value[name] : undefined);
    return Object.fromEntries(
      Object.entries(fields).map(([name, shape]) => [name, shape(own(name), where ? `${where}.${name}` : name)]),
    );
  };

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const wrongly = (where) => {
  throw wrong(where);
};

const error = (value) => {
  const { code, sentence } = fromWire(value);
  return { code, sentence };
};
const label = line(128);
const runName = form(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/);
const when = integer(0);
const state = oneOf(
  "received",
  "staged",
  "queued",
  "starting",
  "running",
  "finishing",
  "done",
  "failed",
  "cancelled",
  "lost",
);
const verb = oneOf("train", "track", "export");

const run = object({
  name: runName,
  verb: maybe(verb, "train"),
  model_type: maybe(line(64), ""),
  config: line(1024),
  max_epochs: maybe(integer(0)),
  devices: maybe(integer(1), 1),
});

/** JobSummary: how a job stands. */
export const jobSummary = object({
  job: id("job"),
  name: line(256),
  state,
  submitted: when,
  owner: label,
  mine: maybe(flag, true),
  changed: maybe(when, 0),
  attempt: maybe(integer(1), 1),
  runs: maybe(list(run, 64), []),
  position: maybe(integer(1)),
  starts_in: maybe(number),
  last_seq: maybe(integer(0), 0),
  error: maybe(error),
});

const BODIES = {
  state: object({ state, error: maybe(error), attempt: maybe(integer(1), 1) }),
  queued: object({ position: integer(1), starts_in: maybe(number) }),
  run_started: object({
    index: integer(0),
    runs: integer(0),
    verb: maybe(verb, "train"),
    model_type: line(64),
    max_epochs: maybe(integer(0)),
  }),
  epoch_started: object({ epoch: integer(0) }),
  step: object({ epoch: integer(0), batch: integer(0), metrics: maybe(metrics, {}) }),
  epoch_ended: object({ epoch: integer(0), metrics: maybe(metrics, {}) }),
  frames: object({
    stage: maybe(oneOf("predict", "track"), "predict"),
    done: integer(0),
    total: maybe(integer(0)),
    rate: maybe(number),
    eta: maybe(number),
  }),
  run_ended: object({
    outcome: oneOf("done", "stopped", "failed", "cancelled"),
    folder: maybe(line(1024)),
    metrics: maybe(metrics, {}),
    error: maybe(error),
  }),
  notice: object({ text: text(2000) }),
};

function body(value, where) {
  const type = form(/^[a-z_]{1,32}$/)(value?.type, `${where}.type`);
  // what a newer worker tells of keeps its place in the numbering
  return Object.hasOwn(BODIES, type) ? { type, ...BODIES[type](value, where) } : { type };
}

/** Event: a numbered fact about a job. */
export const event = object({ seq: integer(1), t: when, run: maybe(runName), body });

/** JobInspected: what would be trained. */
export const jobInspected = object({
  runs: list(
    object({
      name: runName,
      model_type: maybe(line(64), ""),
      config: line(1024),
      backbone: maybe(line(64)),
      max_epochs: maybe(integer(0)),
      batch_size: maybe(integer(0)),
      learning_rate: maybe(number),
      min_steps: maybe(integer(0)),
      scale: maybe(number),
      devices: maybe(integer(1), 1),
    }),
    64,
  ),
  labels: maybe(
    object({
      frames: integer(0),
      instances: maybe(integer(0)),
      videos: maybe(integer(0)),
      nodes: maybe(integer(0)),
    }),
  ),
  notices: maybe(list(text(2000), 256), []),
  size: integer(0),
  files: integer(0),
});

/** WorkerPresence: a worker that is connected. */
export const workerPresence = object({
  worker_id: id("worker"),
  public_key: form(/^[0-9a-f]{64}$/),
  name: label,
  info: object({
    name: label,
    hostname: maybe(label),
    version: label,
    gpus: maybe(list(object({ name: label, memory_mb: integer(0), uuid: maybe(label) }), 32), []),
    slots: maybe(integer(0), 1),
    busy: maybe(integer(0), 0),
    queued: maybe(integer(0), 0),
    sleap_nn: maybe(label),
    engine: maybe(label),
  }),
  since: when,
});

/** The STUN and TURN servers to use. */
export const iceServers = list(
  object({
    urls: list(text(512), 8),
    username: maybe(text(509)),
    credential: maybe(text(512)),
  }),
  16,
);

/** Welcome: what the service says first. */
export const welcome = object({
  principal: object({ user: id("user"), name: label, room: id("room"), role: oneOf("client", "worker") }),
  ice_servers: maybe(iceServers, []),
  room_name: maybe(label, ""),
});
