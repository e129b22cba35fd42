// One RTCPeerConnection with one ordered channel that both sides know beforehand (negotiated, id 0).

import { broken, lost, unreachable } from "./errors.js";
import { MAX_FRAME } from "./frames.js";
import { CandidateFilter, checkDescription, fingerprintOf, ownDescription } from "./sdp.js";

const HIGH_WATER = 4 * 1024 * 1024; // a browser fails a send past 16 MiB
const LOW_WATER = 1024 * 1024;
const INBOX_LIMIT = 1024 * 1024; // of messages that come before somebody reads them: hellos and proofs

/** A connection to a worker: the control channel of a link, or a lane of one. */
export class Connection {
  #pc;
  #channel;
  #allowLoopback;
  #theirs;
  #ours;
  #described = false;
  #early = [];
  #inbox = [];
  #inboxSize = 0;
  #news = null;
  #room = [];
  #reason = null;
  #settled;
  #settle;

  /** Told each message once somebody listens; see `listen`. */
  #reader = null;
  /** Told a candidate of ours, `{candidate, mid, mline}`, or null after the last one. */
  oncandidate = () => {};
  /** Told once, with the error, when nothing more will arrive. */
  onlost = () => {};

  /**
   * @param {RTCIceServer[]} iceServers
   * @param {object} paths
   * @param {boolean} paths.allowLoopback use and announce addresses of this machine alone
   * @param {boolean} [paths.relayOnly] use no path but one through a TURN server
   */
  constructor(iceServers, { allowLoopback, relayOnly = false }) {
    this.#allowLoopback = allowLoopback;
    this.#theirs = new CandidateFilter(allowLoopback);
    this.#ours = new CandidateFilter(allowLoopback);
    this.#settled = new Promise((resolve) => (this.#settle = resolve));
    this.#pc = connected(iceServers, relayOnly);
    this.#pc.onicecandidate = ({ candidate }) => this.#found(candidate);
    this.#pc.onconnectionstatechange = () => {
      // "disconnected" may heal; how long silence is borne is decided above
      if (this.#pc.connectionState === "failed") this.#end(lost("No network path to the worker works any more."));
    };
    this.#pc.ondatachannel = () => this.#end(broken("The worker tried to open a second channel."));
    this.#pc.ontrack = () => this.#end(broken("The worker tried to send sound or pictures."));
    const channel = this.#pc.createDataChannel("sleap-rtc", { negotiated: true, id: 0, ordered: true });
    channel.binaryType = "arraybuffer";
    channel.bufferedAmountLowThreshold = LOW_WATER;
    channel.onopen = () => this.#settle();
    channel.onmessage = ({ data }) => this.#arrived(data);
    channel.onbufferedamountlow = () => this.#drained();
    channel.onclose = () => this.#end(lost("The connection to the worker ended."));
    this.#channel = channel;
  }

  /** Our description as it is sent; `localFingerprint` is the one in it. */
  async offer() {
    await this.#pc.setLocalDescription();
    const sdp = ownDescription(this.#pc.localDescription.sdp, this.#allowLoopback);
    this.localFingerprint = fingerprintOf(sdp);
    return sdp;
  }

  /** Take the other side's answer; `remoteFingerprint` is the one in the text that the browser got. */
  async accept(sdp) {
    if (this.#described) throw broken("The worker answered twice.");
    this.#described = true;
    const checked = checkDescription(sdp, this.#theirs);
    this.remoteFingerprint = fingerprintOf(checked);
    try {
      await this.#pc.setRemoteDescription({ type: "answer", sdp: checked });
    } catch (error) {
      if (this.#reason) throw this.#reason;
      throw broken(`The browser refused the worker's answer (${error.message}).`);
    }
    const early = this.#early;
    this.#early = null;
    await Promise.all(early.map((candidate) => this.#use(candidate)));
  }

  /** Take a candidate of the other side's; one that may not be used is dropped. */
  async take(candidate) {
    if (typeof candidate?.candidate !== "string")
      throw broken("The other side sent an ICE candidate that cannot be read.");
    if (!candidate.candidate || !this.#theirs.accepts(candidate.candidate)) return;
    if (this.#early) this.#early.push(candidate.candidate);
    else await this.#use(candidate.candidate);
  }

  async #use(candidate) {
    try {
      // there is one media section, whatever the other side calls it
      await this.#pc.addIceCandidate({ candidate, sdpMLineIndex: 0 });
    } catch {
      // one that the browser dislikes is dropped: others may do
    }
  }

  #found(candidate) {
    if (!candidate) this.oncandidate(null);
    else if (candidate.candidate && this.#ours.announces(candidate.candidate)) {
      this.oncandidate({ candidate: candidate.candidate, mid: candidate.sdpMid, mline: candidate.sdpMLineIndex });
    }
  }

  /**
   * Wait until messages can pass.
   *
   * @param {number} limit milliseconds
   */
  async opened(limit) {
    const timer = setTimeout(
      () =>
        this.#end(
          unreachable(
            `No connection to the worker within ${limit / 1000} s: a firewall may block UDP between the two ` +
              "machines, and no TURN server relayed for them. Ask the service's admin about TURN.",
          ),
        ),
      limit,
    );
    await this.#settled;
    clearTimeout(timer);
    if (this.#reason) throw this.#reason;
  }

  /** The next message, for whoever reads one after the other while the link is made. */
  async receive() {
    while (!this.#inbox.length) {
      if (this.#reason) throw this.#reason;
      await new Promise((resolve) => (this.#news = resolve));
    }
    const data = this.#inbox.shift();
    this.#inboxSize -= sizeOf(data);
    return data;
  }

  /** From here on hand each message to `reader`, those that wait first. */
  listen(reader) {
    this.#reader = reader;
    const waiting = this.#inbox;
    this.#inbox = [];
    for (const data of waiting) reader(data);
  }

  /** Queue a message at once, however long the queue is. */
  send(data) {
    if (this.#reason) throw this.#reason;
    try {
      this.#channel.send(data);
    } catch (error) {
      throw lost(`The connection to the worker takes nothing more (${error.message}).`);
    }
  }

  /** Wait until the queue is short enough for more. */
  async room() {
    while (!this.#reason && this.#channel.bufferedAmount > HIGH_WATER) {
      await new Promise((resolve) => this.#room.push(resolve));
    }
    if (this.#reason) throw this.#reason;
  }

  /** Why it ended; null while it has not. */
  get reason() {
    return this.#reason;
  }

  /** Bytes that are queued and not on the network yet. */
  get queued() {
    return this.#channel.bufferedAmount;
  }

  /** Bytes of the largest message that both sides take. */
  get largestMessage() {
    return Math.min(this.#pc.sctp?.maxMessageSize || MAX_FRAME, MAX_FRAME);
  }

  /** End it; what is queued is dropped. */
  close() {
    this.#end(lost("The connection was closed by this page."));
  }

  /** End it for a reason that was found elsewhere. */
  fail(error) {
    this.#end(error);
  }

  #arrived(data) {
    if (this.#reason) return;
    if (sizeOf(data) > MAX_FRAME) this.#end(broken("The worker sent a message that is too large."));
    else if (this.#reader) this.#reader(data);
    else if (this.#inboxSize + sizeOf(data) > INBOX_LIMIT || this.#inbox.length >= 1024) {
      this.#end(broken("The worker sent more than it was allowed to before we had read it."));
    } else {
      this.#inbox.push(data);
      this.#inboxSize += sizeOf(data);
      this.#news?.();
    }
  }

  #drained() {
    const waiting = this.#room;
    this.#room = [];
    for (const resolve of waiting) resolve();
  }

  #end(reason) {
    if (this.#reason) return;
    this.#reason = reason;
    this.#settle();
    this.#news?.();
    this.#drained();
    this.#pc.close();
    this.onlost(reason);
  }
}

function connected(iceServers, relayOnly) {
  if (relayOnly && !iceServers.some(({ urls }) => urls.some((url) => /^turns?:/i.test(url)))) {
    throw unreachable(
      "Links may go through relays alone here, but the service names none to you. " +
        "Ask its operator for a TURN server, or allow direct links.",
    );
  }
  try {
    return new RTCPeerConnection({ iceServers, iceTransportPolicy: relayOnly ? "relay" : "all" });
  } catch (error) {
    throw lost(`The browser makes no connection (${error.message}). If that stays so, tell the service's operator.`);
  }
}

const sizeOf = (data) => (typeof data === "string" ? data.length : data.byteLength);
