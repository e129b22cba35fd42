// The two ends of one byte stream, which is bounded by its receiver's credit.

import { broken } from "./errors.js";
import { HEADER, pack } from "./frames.js";

const FULL_WINDOW = 4 * 1024 * 1024;
const READ_SIZE = 1024 * 1024;
const FEW_FRAMES = 64; // frames of a stream that may be as small as they like; the others carry so much on average:
const LEAST_PAYLOAD = 1024;

/** The receiving end of a stream, which this page opened. */
export class Receiving {
  parts = [];
  #received = 0;
  #frames = 0;
  #ended = false;

  constructor(number, lane, window, most, onCredit) {
    Object.assign(this, { number, lane, window, most, onCredit });
    this.whole = new Promise((resolve, reject) => Object.assign(this, { resolve, fail: reject }));
    this.whole.catch(() => {}); // whoever gave it up does not wait any more
  }

  take({ offset, payload, last }) {
    if (this.#ended || offset !== this.#received) throw broken("A frame arrived that does not continue its stream.");
    if (offset + payload.length > this.window) throw broken("The worker sent more than its credit allows.");
    this.#received += payload.length;
    this.#frames += 1;
    if (this.#frames > FEW_FRAMES + this.#received / LEAST_PAYLOAD) {
      throw broken("A stream came in so small frames that they would fill the memory.");
    }
    if (this.#received > this.most) throw broken(`A stream is longer than the ${this.most} bytes that it may have.`);
    this.parts.push(payload);
    this.#ended = last;
    if (last) this.resolve(this.parts);
    else this.#grow();
  }

  #grow() {
    // what is of unknown length goes on as it is read; what was asked for exactly has its window from the start
    const target = this.#received + FULL_WINDOW;
    if (this.window >= this.most || target - this.window < FULL_WINDOW / 4) return;
    this.window = target;
    this.onCredit(target);
  }
}

/** The sending end of a stream that the worker asked for. */
export class Sending {
  #sent = 0;
  #limit;
  #payload;
  #more = null;
  #error = null;
  #finished = false;

  constructor(request, lane) {
    this.lane = lane;
    this.number = request.stream;
    this.#limit = request.window;
    this.#payload = Math.min(request.frame, lane.connection.largestMessage) - HEADER;
  }

  /**
   * Send bytes, waiting for the receiver's credit and for the network.
   *
   * @param {Uint8Array} bytes
   * @param {boolean} last whether the stream ends with them
   */
  async write(bytes, last) {
    let at = 0;
    while (at < bytes.length || (last && !this.#finished)) {
      await this.#credit(bytes.length - at);
      const end = Math.min(at + Math.min(this.#limit - this.#sent, READ_SIZE), bytes.length);
      const piece = bytes.subarray(at, end);
      await this.lane.turn.take(() => this.#send(piece, last && end === bytes.length));
      at = end;
    }
  }

  async #send(piece, last) {
    for (let at = 0; at < piece.length || (last && !this.#finished);) {
      await this.lane.connection.room();
      if (this.#error) throw this.#error;
      const payload = piece.subarray(at, at + this.#payload);
      at += payload.length;
      this.#finished = last && at === piece.length;
      this.lane.connection.send(pack(this.number, this.#sent, payload, this.#finished));
      this.#sent += payload.length;
    }
  }

  async #credit(needed) {
    while (!this.#error && needed && this.#limit <= this.#sent) await new Promise((resolve) => (this.#more = resolve));
    if (this.#error) throw this.#error;
  }

  raise(limit) {
    this.#limit = Math.max(this.#limit, limit);
    this.#more?.();
  }

  fail(error) {
    this.#error ??= error;
    this.#more?.();
  }
}
