// One proven link: requests and their answers, liveness, byte streams, lanes, and one reason for its end.

import { decode, encode } from "./codec.js";
import { broken, fromWire, lost, PeerError, toWire, unreachable } from "./errors.js";
import { Lanes } from "./lanes.js";
import { line } from "./shapes.js";
import { Streams } from "./streams.js";
import { within } from "./times.js";

const MAX_REQUESTS = 64;
const MAX_QUEUED = 8 * 1024 * 1024;

/** A proven link to a worker. */
export class Session {
  #connection;
  #handlers;
  #lanes;
  #streams;
  #pending = new Map();
  #next = 1;
  #answering = 0;
  #heard = performance.now();
  #keepAlive;
  #close;

  /** Why it ended; null while it lives. */
  reason = null;
  /** Resolved with that reason. */
  closed = new Promise((resolve) => (this.#close = resolve));

  /**
   * @param {import("./connection.js").Connection} connection the proven control channel
   * @param {object} settings
   * @param {Set<string>} settings.abilities what the worker said it can do
   * @param {typeof import("./times.js").TIMES} settings.times
   * @param {() => import("./connection.js").Connection} settings.newConnection makes a connection for a lane
   * @param {object} settings.handlers by type, what answers the worker's requests
   * @param {object} settings.providers by type, what answers its requests for bytes
   */
  constructor(connection, { abilities, times, newConnection, handlers, providers }) {
    this.abilities = abilities;
    this.times = times;
    this.#connection = connection;
    this.#handlers = handlers;
    this.#lanes = new Lanes(this, newConnection);
    this.#streams = new Streams(this, this.#lanes, providers);
    this.#keepAlive = setInterval(() => this.#tick(), Math.min(times.ping, times.dead / 3));
    connection.onlost = (error) => this.end(error);
    connection.listen((data) => this.#guarded(() => this.#take(data)));
    if (connection.reason) this.end(connection.reason);
    else this.#lanes.tend();
  }

  /**
   * Ask the worker something.
   *
   * @param {{type: string}} message
   * @param {string} answer the type that the answer must have
   * @param {number} [limit] milliseconds; Infinity for as long as the link lives
   */
  async request(message, answer, limit = this.times.request) {
    if (this.reason) throw this.reason;
    const id = this.#next++;
    const reply = new Promise((resolve, reject) => this.#pending.set(id, { resolve, reject }));
    reply.catch(() => {}); // where sending failed nobody waits for it
    try {
      this.#send({ ...message, id });
      const late = () => unreachable(`The worker did not answer ${message.type} within ${limit / 1000} s.`);
      const found = await within(reply, limit, late);
      if (found.type !== answer) throw broken(`The worker answered ${message.type} with ${found.type}.`);
      return found;
    } finally {
      this.#pending.delete(id);
    }
  }

  /** Tell the worker something that needs no answer; after the end of the link nothing. */
  notify(message) {
    if (!this.reason) this.#guarded(() => this.#send(message));
  }

  /** Ask the worker for bytes; see `Streams.ask`. */
  ask(request, how) {
    return this.#streams.ask(request, how);
  }

  /** Say how many lanes this page wants for what it receives. */
  wantLanes(count) {
    this.#lanes.want(count);
  }

  /** Leave: say so, wait a moment for the answer, and hang up. */
  async close() {
    if (this.reason) return;
    try {
      await this.request(
        { type: "bye", reason: "the page was closed or needs the link no more." },
        "ok",
        this.times.bye,
      );
    } catch {
      // whoever does not answer is left without it
    }
    this.end(lost("The link was closed by this page."));
  }

  /** End the link; the first reason stays. `linger` leaves the connection open for what is queued. */
  end(reason, linger = 0) {
    if (this.reason) return;
    this.reason = reason;
    clearInterval(this.#keepAlive);
    for (const { reject } of this.#pending.values()) reject(reason);
    this.#streams.end(reason);
    this.#lanes.close();
    if (linger) setTimeout(() => this.#connection.close(), linger);
    else this.#connection.close();
    this.#close(reason);
  }

  // what its parts call

  takeFrame(lane, data) {
    this.#guarded(() => this.#streams.takeFrame(lane, data));
  }

  laneLost(number) {
    this.#streams.laneLost(number);
  }

  isUsing(lane) {
    return this.#streams.isUsing(lane);
  }

  #guarded(work) {
    if (this.reason) return;
    try {
      work();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error) {
    if (error instanceof PeerError) {
      this.end(error);
    } else {
      console.error(error);
      this.end(lost("This page failed inside; its browser's console says more."));
    }
  }

  #tick() {
    const silent = performance.now() - this.#heard;
    if (silent > this.times.dead) {
      this.end(lost(`Nothing was heard from the worker for ${Math.round(silent / 1000)} s.`));
      return;
    }
    this.notify({ type: "ping" });
    this.#lanes.endSilent(this.times.dead);
  }

  #take(data) {
    if (typeof data !== "string") throw broken("Binary data arrived on the control channel, which carries text.");
    this.#heard = performance.now();
    const message = decode(data);
    const taker = TAKERS[message.type];
    if (message.re !== undefined) this.#takeAnswer(message);
    else if (taker) taker(this.#lanes, this.#streams, message);
    else if (this.#streams.answers(message.type))
      this.#streams.takeRequest(message).catch((error) => this.#fail(error));
    else if (message.id !== undefined) this.#takeRequest(message).catch((error) => this.#fail(error));
  }

  #takeAnswer(message) {
    const waiting = this.#pending.get(message.re);
    if (message.error) waiting?.reject(fromWire(message.error));
    else waiting?.resolve(message);
  }

  async #takeRequest(message) {
    // each answer waits in our memory to be sent
    if (this.#answering >= 2 * MAX_REQUESTS) throw broken("The worker keeps asking without reading the answers.");
    this.#answering += 1;
    let answer;
    try {
      answer = await this.#answer(message);
    } catch (error) {
      if (!(error instanceof PeerError)) console.error(error);
      answer = { type: "error", error: toWire(error) };
    } finally {
      this.#answering -= 1;
    }
    this.notify({ ...answer, re: message.id });
    if (message.type === "bye") this.#takeBye(message);
  }

  async #answer(message) {
    if (this.#answering > MAX_REQUESTS) throw new PeerError("busy", "Too many requests are waiting on this link.");
    if (message.type === "bye") return { type: "ok" };
    if (!Object.hasOwn(this.#handlers, message.type))
      throw broken(`This side does not answer ${message.type.slice(0, 64)}.`);
    return this.#handlers[message.type](message, this);
  }

  #takeBye(message) {
    const said = typeof message.reason === "string" ? line(500)(message.reason.slice(0, 500), "reason") : "";
    // the answer has to get there before the connection goes
    this.end(message.error ? fromWire(message.error) : lost(`The worker closed the link: ${said}`), this.times.bye);
  }

  #send(message) {
    const text = encode(message);
    if (this.#connection.queued > MAX_QUEUED) throw lost("The worker does not read what this page says.");
    this.#connection.send(text);
  }
}

const nothing = () => {};
const TAKERS = {
  __proto__: null,
  ping: nothing,
  "stream.credit": (_, streams, message) => streams.takeCredit(message),
  "stream.reset": (_, streams, message) => streams.takeReset(message),
  "lane.candidate": (lanes, _, message) => lanes.takeCandidate(message),
  "lane.wanted": (lanes, _, message) => lanes.takeWish(message),
  "lane.closed": (lanes, _, message) => lanes.takeClosed(message),
};
