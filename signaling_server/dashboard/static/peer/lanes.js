// Lanes: the connections of a link that carry bulk, negotiated over its control channel, whose proof they inherit.

import { lost, PeerError } from "./errors.js";
import { integer } from "./shapes.js";
import { sleep, Turns } from "./times.js";

/** Most lanes of a page: each is a connection of its own, and a browser's tab has one thread for all of them. */
const MOST_LANES = 4;
const PRODUCERS = 2; // streams of a lane that are produced at once: one is read from the disk while the other is sent
const RETRY = 1000; // milliseconds before a lane that did not open is tried again
const STORED = 2 ** 31 - 1;

/** What was under way on a lane that ended. */
export const laneLost = (sentence = "The lane that this came over ended.") => new PeerError("lane_lost", sentence);

/** One lane. */
class Lane {
  isOpen = false;
  /** Streams awaited over it, those of them that nothing has to be computed for, and the bytes of all. */
  streams = 0;
  due = 0;
  asked = 0;
  /** When something last came over it, or was first awaited; by the clock of `performance.now`. */
  heard = 0;
  /** When it opened, by the same clock. */
  opened = Infinity;
  /** Held by whoever sends on it, so that one stream's bytes stay together. */
  turn = new Turns(1);
  producers = new Turns(PRODUCERS);

  constructor(number, connection) {
    this.number = number;
    this.connection = connection;
  }
}

/** The lanes of one link, opened by this page as many as either side wants. */
export class Lanes {
  #link;
  #newConnection;
  #lanes = new Map();
  #next = 0;
  #wishes = { ours: 1, theirs: 1 };
  #retrying = false;
  #waiting = [];
  #ended = new AbortController();

  /**
   * @param {object} link what `request`, `notify`, `end`, `takeFrame`, `laneLost` and `isUsing(lane)` belong to
   * @param {() => import("./connection.js").Connection} newConnection
   */
  constructor(link, newConnection) {
    this.#link = link;
    this.#newConnection = newConnection;
  }

  /** Have as many lanes as either side wants, and end those that are too many and idle. */
  tend() {
    if (this.#ended.signal.aborted) return;
    const wanted = Math.min(Math.max(this.#wishes.ours, this.#wishes.theirs), MOST_LANES);
    for (const lane of [...this.#lanes.values()].slice(wanted)) {
      if (lane.isOpen && !this.#link.isUsing(lane)) this.drop(lane);
    }
    while (!this.#retrying && !this.#ended.signal.aborted && this.#lanes.size < wanted) this.#open();
  }

  /** Ask for what we receive over so many lanes. */
  want(count) {
    this.#wishes.ours = count;
    this.tend();
  }

  #open() {
    try {
      const lane = new Lane(this.#next++, this.#newConnection());
      this.#lanes.set(lane.number, lane);
      this.#serve(lane);
    } catch (error) {
      this.#link.end(error); // a browser has an end of connections, too
    }
  }

  async #serve(lane) {
    const { connection, number } = lane;
    connection.onlost = () => this.drop(lane);
    connection.oncandidate = (candidate) =>
      candidate && this.#link.notify({ type: "lane.candidate", lane: number, candidate });
    try {
      const sdp = await connection.offer();
      const answer = await this.#link.request({ type: "lane.open", lane: number, sdp }, "lane.answer");
      await connection.accept(answer.sdp);
      await connection.opened(this.#link.times.connect);
    } catch (error) {
      this.drop(lane);
      this.#failed(error);
      return;
    }
    lane.isOpen = true;
    lane.opened = lane.heard = performance.now();
    connection.listen((data) => {
      lane.heard = performance.now();
      this.#link.takeFrame(lane, data);
    });
    this.#tell();
  }

  #failed(error) {
    if (this.#ended.signal.aborted || [...this.#lanes.values()].some((lane) => lane.isOpen)) return;
    // as good as lost: whoever keeps the link up dials again
    this.#link.end(lost(`No lane to the worker opened: ${error.message}`));
  }

  async #tendLater() {
    if (this.#retrying) return;
    this.#retrying = true;
    await sleep(RETRY, this.#ended.signal);
    this.#retrying = false;
    this.tend();
  }

  /** Wait for the open lane with the least under way. */
  async pick() {
    for (;;) {
      if (this.#ended.signal.aborted) throw lost("The link ended.");
      const open = [...this.#lanes.values()].filter((lane) => lane.isOpen).slice(0, MOST_LANES);
      const best = open.reduce((least, lane) => (least && least.asked <= lane.asked ? least : lane), null);
      if (best) return best;
      await new Promise((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Something under way ended, or a lane did: whoever waits looks again. */
  #tell() {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  /**
   * Note that so many bytes may come over a lane, until the returned function is called.
   *
   * @param {Lane} lane
   * @param {number} size
   * @param {boolean} due whether they are on their way at once; else the worker may have to compute them first
   */
  expect(lane, size, due) {
    if (!lane.due) lane.heard = performance.now();
    lane.streams += 1;
    lane.due += due;
    lane.asked += size;
    return () => {
      lane.streams -= 1;
      lane.due -= due;
      lane.asked -= size;
      this.#tell();
      this.tend();
    };
  }

  /** End lanes that owe bytes and have been silent for so many milliseconds. */
  endSilent(patience) {
    const now = performance.now();
    for (const lane of this.#lanes.values()) {
      if (lane.isOpen && lane.due && now - lane.heard > patience) this.drop(lane);
    }
  }

  /** The lane of a number; an error if there is none. */
  find(number) {
    const lane = this.#lanes.get(number);
    if (!lane) throw laneLost("The lane ended.");
    return lane;
  }

  /** The worker says how many lanes it wants. */
  takeWish({ lanes }) {
    this.#wishes.theirs = integer(1, 16)(lanes, "lanes");
    this.tend();
  }

  /** A candidate of the worker's for a lane. */
  takeCandidate({ lane, candidate }) {
    this.#lanes
      .get(lane)
      ?.connection.take(candidate)
      .catch((error) => this.#link.end(error));
  }

  /** The worker ended a lane. */
  takeClosed({ lane }) {
    this.dropNumber(integer(0, STORED)(lane, "lane"));
  }

  /** End the lane of a number, if there is one. */
  dropNumber(number) {
    const lane = this.#lanes.get(number);
    if (lane) this.drop(lane);
  }

  /** A lane is over: close it, and tell whoever used it, here and there. */
  drop(lane) {
    if (!this.#lanes.delete(lane.number)) return;
    lane.isOpen = false;
    this.#link.laneLost(lane.number);
    this.#link.notify({ type: "lane.closed", lane: lane.number });
    lane.connection.close();
    this.#tell();
    // one that does not open, or comes and goes, must not become a storm: the path may bear no more than there are
    if (performance.now() - lane.opened < RETRY) this.#tendLater();
    else this.tend();
  }

  /** Close all of them. */
  close() {
    this.#ended.abort();
    for (const { connection } of this.#lanes.values()) connection.close();
    this.#lanes.clear();
    this.#tell();
  }
}
