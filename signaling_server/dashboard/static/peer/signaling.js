// The page's WebSocket to the service, one for each room: it passes offers and comes back by itself after a loss.
//
// Links live elsewhere and outlive this: nothing here ever ends one.

import { decode, encode } from "./codec.js";
import { broken, fromWire, isFinal, lost, PeerError, unreachable } from "./errors.js";
import * as shapes from "./shapes.js";
import { backoff, sleep, TIMES, within } from "./times.js";

const SUBPROTOCOL = "sleap-rtc.v1";
const REVOKED = 4403;
const MAX_WORKERS = 2000;

/** The connection to the signaling service for one room. */
export class Signaling {
  #base;
  #roomId;
  #times;
  #ended = new AbortController();
  #socket = null;
  #welcome = null;
  #error = null;
  #final = false;
  #waiting = [];
  #boxes = new Map();
  #pending = new Map();
  #next = 1;

  /** Told at each change between heard and lost. */
  onchange = () => {};

  /**
   * @param {URL} base the API's address, with a slash at its end
   * @param {string} roomId the room to enter
   * @param {Partial<typeof TIMES>} times
   */
  constructor(base, roomId, times = TIMES) {
    this.#base = base;
    this.#roomId = roomId;
    this.#times = times;
    this.#run();
  }

  /** Whether the service can be heard just now. */
  get connected() {
    // one that is closing already has not said so yet
    return this.#socket !== null && !(this.#socket.readyState > WebSocket.OPEN);
  }

  /** Whether it will not be heard any more. */
  get isOver() {
    return this.#final;
  }

  /** Why it cannot be heard; null while it can be. */
  get error() {
    return this.#error;
  }

  /** What the service said last when it let us in; null before. */
  get welcome() {
    return this.#welcome;
  }

  /** Wait until the service can be heard; an error if that will never be, or takes too long. */
  async ready() {
    const wait = async () => {
      while (!this.connected) {
        if (this.#final) throw this.#error;
        await new Promise((resolve) => this.#waiting.push(resolve));
      }
    };
    await within(
      wait(),
      this.#times.connect,
      () => this.#error ?? unreachable("The signaling service does not answer."),
    );
  }

  /** Send a message now. Nothing is kept for later: an offer belongs to the connection it was made on. */
  send(message) {
    if (!this.connected)
      throw this.#error ?? lost("The signaling service cannot be heard just now; it is being called again.");
    this.#socket.send(encode(message));
  }

  /**
   * Hand what arrives for a link to `take`, until the returned function is called.
   *
   * @param {string} link
   * @param {(message: object) => void} take
   */
  mailbox(link, take) {
    this.#boxes.set(link, take);
    return () => this.#boxes.delete(link);
  }

  /** The workers of the room, ordered by id. */
  async workers() {
    await this.ready();
    const found = [];
    for (let more = true; more && found.length < MAX_WORKERS;) {
      const answer = await this.#ask({ type: "workers", after: found.at(-1)?.worker_id });
      if (answer.type !== "worker_list") throw broken("The signaling service gave an answer to another question.");
      const page = shapes.list(shapes.workerPresence, 1000)(answer.workers, "workers");
      found.push(...page);
      more = answer.more === true && page.length > 0;
    }
    return found;
  }

  /** Leave the room. */
  close() {
    this.#final = true;
    this.#ended.abort();
    this.#lose(lost("This page has left the room."));
  }

  async #ask(message) {
    const id = this.#next++;
    const answer = new Promise((resolve, reject) => this.#pending.set(id, { resolve, reject }));
    try {
      this.send({ ...message, id });
      return await within(answer, this.#times.request, () =>
        unreachable("The signaling service did not answer in time."),
      );
    } finally {
      this.#pending.delete(id);
      answer.catch(() => {}); // where sending failed nobody waits for it
    }
  }

  async #run() {
    let pauses = backoff(this.#times);
    while (!this.#final) {
      const began = Date.now();
      const error = await this.#converse();
      if (this.#ended.signal.aborted) return;
      this.#final ||= isFinal(error) || error.code === "not_found" || error.code === "conflict";
      this.#lose(error);
      if (this.#final) return;
      // only a connection that held for a while starts the pauses afresh
      if (Date.now() - began > this.#times.most) pauses = backoff(this.#times);
      await sleep(pauses.next().value, this.#ended.signal);
    }
  }

  /** One connection, to its end; returns why it ended. */
  async #converse() {
    const address = new URL(`ws?room=${encodeURIComponent(this.#roomId)}`, this.#base);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address, SUBPROTOCOL);
    let welcomed = false;
    const stop = () => socket.close();
    this.#ended.signal.addEventListener("abort", stop, { once: true });
    const late = setTimeout(stop, this.#times.connect);
    const ended = await new Promise((resolve) => {
      socket.onclose = ({ code, reason }) => resolve({ code, reason });
      socket.onmessage = ({ data }) => {
        try {
          if (welcomed) this.#take(decode(data));
          else this.#enter(socket, decode(data));
          welcomed = true;
          clearTimeout(late);
        } catch (error) {
          resolve({ error });
        }
      };
    });
    clearTimeout(late);
    this.#ended.signal.removeEventListener("abort", stop);
    socket.onmessage = null;
    socket.close();
    if (ended.error) return ended.error;
    if (ended.code === REVOKED)
      return new PeerError("authentication", "Your login or your place in this room has ended. Log in again.");
    return welcomed
      ? lost("The connection to the signaling service was lost; it is being called again.")
      : this.#whyRefused();
  }

  /** A browser is not told why a WebSocket was refused: the same question as a plain request says it. */
  async #whyRefused() {
    const silent = unreachable("The signaling service cannot be reached just now; it is being called again.");
    try {
      const address = new URL(`rooms/${encodeURIComponent(this.#roomId)}/workers`, this.#base);
      const answer = await fetch(address, { credentials: "same-origin", signal: this.#ended.signal });
      if (answer.ok || answer.status >= 500 || answer.status === 429) return silent;
      return fromWire((await answer.json()).error);
    } catch {
      return silent;
    }
  }

  #enter(socket, message) {
    if (message.type !== "welcome") throw broken("The signaling service did not say welcome.");
    const welcome = shapes.welcome(message);
    // what is known of a room, such as its secret, must not be left aside because the service leads to another one
    if (welcome.principal.room !== this.#roomId) {
      throw new PeerError(
        "forbidden",
        "The signaling service led to another room than the one asked for. Ask its operator.",
      );
    }
    this.#welcome = welcome;
    this.#socket = socket;
    this.#error = null;
    this.#tell();
  }

  #take(message) {
    if (message.re !== undefined && this.#pending.has(message.re)) {
      const { resolve, reject } = this.#pending.get(message.re);
      if (message.error) reject(fromWire(message.error));
      else resolve(message);
    } else if (message.type === "ice_servers") {
      this.#welcome = { ...this.#welcome, ice_servers: shapes.iceServers(message.ice_servers, "ice_servers") };
    } else if (["answer", "candidate", "reject", "gone"].includes(message.type)) {
      this.#boxes.get(message.link)?.(message);
    }
  }

  #lose(error) {
    this.#socket = null;
    this.#error = error;
    for (const { reject } of this.#pending.values()) reject(error);
    this.#tell();
  }

  #tell() {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
    this.onchange();
  }
}
