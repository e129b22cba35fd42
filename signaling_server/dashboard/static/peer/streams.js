// Byte streams of a link: many at once over its lanes, each bounded by its receiver's credit.

import { join } from "./bytes.js";
import { broken, fromWire, PeerError, toWire } from "./errors.js";
import { MAX_FRAME, unpack, USUAL_FRAME } from "./frames.js";
import { laneLost } from "./lanes.js";
import { integer } from "./shapes.js";
import { Receiving, Sending } from "./stream.js";

const LINK_WINDOW = 16 * 1024 * 1024;
const FIRST_WINDOW = 256 * 1024;
const MOST_SENT = 512;

/** All streams of one link. */
export class Streams {
  #link;
  #lanes;
  #providers;
  #next = 1; // the side that dialled gives out odd numbers
  #receiving = new Map();
  #sending = new Map();

  /**
   * @param {object} link what `notify` and `reason` belong to
   * @param {import("./lanes.js").Lanes} lanes
   * @param {object} providers by type, what answers each kind of request: (request, stream: Sending) => Promise<void>
   */
  constructor(link, lanes, providers) {
    this.#link = link;
    this.#lanes = lanes;
    this.#providers = providers;
  }

  /**
   * Ask the worker for bytes.
   *
   * @param {object} request its type and fields, beside the stream
   * @param {object} how
   * @param {number} how.most bytes that are accepted
   * @param {boolean} [how.exact] whether exactly so many come; else the length is the worker's to say
   * @param {import("./lanes.js").Lane} [how.lane] the one to use; the least busy one by default
   * @param {AbortSignal} [how.signal]
   * @returns {Promise<Uint8Array<ArrayBuffer>>}
   */
  async ask(request, { most, exact = false, lane, signal }) {
    const chosen = lane ?? (await this.#lanes.pick());
    if (this.#link.reason) throw this.#link.reason;
    const number = this.#next;
    this.#next += 2;
    const window = exact ? most : Math.min(most, FIRST_WINDOW);
    const stream = new Receiving(number, chosen, window, most, (limit) =>
      this.#link.notify({ type: "stream.credit", stream: number, limit }),
    );
    const stop = () => this.#stop(stream, signal.reason);
    this.#receiving.set(number, stream);
    const forget = this.#lanes.expect(chosen, window, exact);
    signal?.addEventListener("abort", stop, { once: true });
    const frame = Math.min(MAX_FRAME, chosen.connection.largestMessage);
    try {
      if (!chosen.isOpen) throw laneLost();
      signal?.throwIfAborted();
      this.#link.notify({
        ...request,
        stream: number,
        lane: chosen.number,
        window,
        frame: Math.max(frame, USUAL_FRAME),
      });
      return join(await stream.whole);
    } finally {
      this.#receiving.delete(number);
      forget();
      signal?.removeEventListener("abort", stop);
    }
  }

  #stop(stream, reason) {
    if (!this.#receiving.has(stream.number)) return;
    const said = new PeerError("transfer", "The receiver wants no more of this.");
    this.#link.notify({ type: "stream.reset", stream: stream.number, reason: toWire(said) });
    stream.fail(reason);
  }

  /** Hand a lane's message to its stream; an error if it is none, or belongs to no stream that ever was. */
  takeFrame(lane, data) {
    if (typeof data === "string") throw broken("Text arrived on a lane, which carries binary frames.");
    const frame = unpack(data);
    const stream = this.#receiving.get(frame.stream);
    if (stream && stream.lane === lane) stream.take(frame);
    else if (stream || frame.stream % 2 === 0 || frame.stream >= this.#next) {
      throw broken("A frame arrived for a stream that nobody opened there.");
    } // else: it was closed here while the frame was on its way
  }

  /** Whether a message is a request for bytes that something here may answer. */
  answers(type) {
    return Object.hasOwn(this.#providers, type);
  }

  /** Answer a request for bytes, with them or with the reason why not. */
  async takeRequest(message) {
    const request = {
      ...message,
      stream: integer(1, 2 ** 32 - 1)(message.stream, "stream"),
      window: integer(0, LINK_WINDOW)(message.window, "window"),
      frame: integer(USUAL_FRAME, MAX_FRAME)(message.frame ?? USUAL_FRAME, "frame"),
    };
    const number = request.stream;
    if (number % 2 || this.#sending.has(number) || this.#sending.size >= MOST_SENT) {
      throw broken("A stream was asked for under a number that cannot be used.");
    }
    try {
      const lane = this.#lanes.find(integer(0)(message.lane, "lane"));
      const stream = new Sending(request, lane);
      this.#sending.set(number, stream);
      await lane.producers.take(() => this.#providers[request.type](request, stream));
    } catch (caught) {
      // of the lane, not of the link, which would not have to say so: the worker asks again over another one
      const error = caught.code === "connection_lost" ? laneLost(caught.message) : caught;
      if (!(error instanceof PeerError)) console.error(error);
      if (!this.#link.reason) this.#link.notify({ type: "stream.reset", stream: number, reason: toWire(error) });
    } finally {
      this.#sending.delete(number);
      if (!this.#link.reason) this.#lanes.tend();
    }
  }

  /** The receiver allows more of a stream; of a finished one that changes nothing. */
  takeCredit({ stream, limit }) {
    this.#sending.get(stream)?.raise(integer(0, 2 ** 53 - 1)(limit, "limit"));
  }

  /** The worker gave a stream up. */
  takeReset({ stream, reason }) {
    const error = fromWire(reason);
    const receiving = this.#receiving.get(stream);
    this.#sending.get(stream)?.fail(error);
    receiving?.fail(error);
    // the other side has that lane no more: nothing else must be asked for over it
    if (receiving && error.code === "lane_lost") this.#lanes.drop(receiving.lane);
  }

  /** Whether anything is sent or awaited over a lane. */
  isUsing(lane) {
    return lane.streams > 0 || [...this.#sending.values()].some((stream) => stream.lane === lane);
  }

  /** What was under way on a lane will not arrive. */
  laneLost(number) {
    for (const streams of [this.#receiving, this.#sending]) {
      for (const stream of streams.values()) if (stream.lane.number === number) stream.fail(laneLost());
    }
  }

  /** The link is gone. */
  end(error) {
    for (const streams of [this.#receiving, this.#sending]) for (const stream of streams.values()) stream.fail(error);
  }
}
