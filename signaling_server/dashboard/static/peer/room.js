// A room as a page sees it: who is in it, and links to its workers.

import { apiBase } from "../api.js";
import { dial } from "./dial.js";
import { broken, PeerError, tellAll } from "./errors.js";
import { isId } from "./ids.js";
import { RemoteWorker } from "./remote.js";
import { Signaling } from "./signaling.js";
import { sleep, TIMES } from "./times.js";

const PIN = "sleap-rtc:pin:";

/** Keys of workers that were met, in this browser's storage; they are no secrets. */
export const browserPins = {
  get: (workerId) => stored((storage) => storage.getItem(PIN + workerId)),
  set: (workerId, key) => stored((storage) => storage.setItem(PIN + workerId, key)),
};

function stored(act) {
  try {
    return act(localStorage) ?? null;
  } catch {
    // a browser that keeps nothing meets everybody for the first time: an id is made of its key all the same
    return null;
  }
}

/** A page of the service knows no room's secret. */
const noSecrets = async () => [];

const MOST_NAMES = 16;

/** A room: who is in it, and links to its workers. */
export class Room {
  #signaling;
  #settings;
  #listeners = new Set();
  #ended = new AbortController();
  #secretsSeen = false;
  #names = new Map();

  /** The latest list of the room's workers, ordered by id: WorkerPresence of the protocol. Null before the first. */
  workers = null;

  /**
   * @param {string} roomId
   * @param {object} [settings]
   * @param {{get: function, set: function}} [settings.pins] the keys (hex) that workers had when they were met:
   *   `get(workerId, {room, name})` gives one or null, `set(workerId, key, {room, name})` is told after each proof.
   *   `name` is what the room's list calls the worker; `get` is asked for each name that it was called by. An error of
   *   either ends the link before anything is sent.
   * @param {(roomId: string) => Promise<object[]>} [settings.secrets] the keys derived from the room's secrets, as
   *   {epoch, id, clientKey, workerKey} in hex
   * @param {boolean} [settings.allowLoopback] whether the service is on this machine: then its workers may be as well
   * @param {boolean} [settings.relayOnly] whether links may use TURN servers alone
   * @param {Partial<typeof TIMES>} [settings.times] waiting times, in milliseconds
   */
  constructor(roomId, { pins = browserPins, secrets = noSecrets, times = {}, allowLoopback, relayOnly = false } = {}) {
    if (!isId("room", roomId)) throw new PeerError("not_found", "That is not the id of a room.");
    if (!globalThis.crypto?.subtle) {
      throw new PeerError(
        "dependency",
        "The browser lets this page use no cryptography, because it came over plain http. " +
          "Open it over https, or on this machine as 127.0.0.1.",
      );
    }
    const base = new URL(apiBase(), document.baseURI);
    this.roomId = roomId;
    this.#settings = {
      pins,
      secrets,
      times: { ...TIMES, ...times },
      allowLoopback: allowLoopback ?? isLocal(base.hostname),
      relayOnly,
    };
    this.#signaling = new Signaling(base, roomId, this.#settings.times);
    this.#signaling.onchange = () => this.#tell();
    this.#poll();
  }

  /** Whether the service can be heard just now, and if not why: null or a sentence. */
  get trouble() {
    return this.#signaling.connected ? null : (this.#signaling.error?.message ?? "");
  }

  /**
   * Be told the workers whenever they may have changed, and at once where they are known; returns what ends that.
   *
   * @param {(workers: object[], trouble: string | null) => void} listener
   */
  onWorkers(listener) {
    this.#listeners.add(listener);
    if (this.workers) listener(this.workers, this.trouble);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Link to a worker. The link is kept up until it is closed; an error if it cannot be made now.
   *
   * @param {string} workerId
   * @returns {Promise<RemoteWorker>}
   */
  async connect(workerId) {
    const worker = new RemoteWorker(workerId, this.#settings.times, (parts) => this.#dial(workerId, parts));
    await worker.open();
    return worker;
  }

  /** Leave the room; links that stand are the business of whoever made them. */
  close() {
    this.#ended.abort();
    this.#signaling.close();
  }

  async #dial(workerId, parts) {
    try {
      return await this.#dialNow(workerId, parts);
    } catch (error) {
      // whoever is not let in by the service, or has left the room, dials in vain for ever
      if (this.#signaling.isOver) error.final = true;
      throw error;
    }
  }

  async #dialNow(workerId, parts) {
    const secrets = await this.#settings.secrets(this.roomId);
    this.#secretsSeen ||= secrets.length > 0;
    if (this.#secretsSeen && !secrets.length) {
      // a room that has a secret is never entered without one, whatever became of it
      throw new PeerError(
        "unreachable",
        "The room's secret cannot be used just now. Look at what `sleap-rtc dashboard` says.",
      );
    }
    const name = await this.#nameOf(workerId);
    // whoever was picked under a name must be the one who is known by it, whatever the list says now
    for (const called of this.#names.get(workerId) ?? [])
      await this.#settings.pins.get(workerId, { room: this.roomId, name: called });
    return dial(this.#signaling, workerId, { ...this.#settings, ...parts, secrets, name });
  }

  async #nameOf(workerId) {
    const named = (workers) => workers?.find((each) => each.worker_id === workerId)?.name;
    return named(this.workers) ?? named(await this.#list()) ?? "";
  }

  async #list() {
    const workers = await this.#signaling.workers();
    for (const { worker_id: id, name } of workers) {
      if (!this.#names.has(id)) this.#names.set(id, new Set());
      const names = this.#names.get(id).add(name);
      if (names.size > MOST_NAMES) throw broken("The signaling service calls a worker by too many names.");
    }
    return workers;
  }

  async #poll() {
    while (!this.#ended.signal.aborted) {
      if (this.#signaling.connected && !document.hidden) {
        try {
          this.workers = await this.#list();
          this.#tell();
        } catch (error) {
          if (!(error instanceof PeerError)) throw error; // else: the connection is called again, and then asked again
        }
      }
      await sleep(this.workers ? this.#settings.times.poll : this.#settings.times.first / 5, this.#ended.signal);
    }
  }

  #tell() {
    if (this.workers) tellAll(this.#listeners, this.workers, this.trouble);
  }
}

const isLocal = (host) => host === "localhost" || host === "[::1]" || /^127(?:\.\d+){3}$/.test(host);
