// Session descriptions and ICE candidates, by the rules of protocol/sdp.py: one fingerprint, sha-256, out and in.

import { unhex } from "./bytes.js";
import { broken } from "./errors.js";

const MAX_SDP = 16 * 1024;
const MAX_CANDIDATES = 32;
const MAX_NAMED = 8;

// plain ASCII and well-formed lines only, so that no engine can see a line that we did not
const LINE = /^[a-z]=[\x20-\x7e]*$/;
const FINGERPRINT = /^a=fingerprint:sha-256 ([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){31})$/;
const SETUP = /^a=setup:(?:actpass|active|passive)$/;
const CANDIDATE = new RegExp(
  "^candidate:[A-Za-z0-9+/]{1,32} (?<component>\\d{1,3}) (?<transport>[A-Za-z]{3,8}) (?<priority>\\d{1,10})" +
    " (?<host>[0-9A-Za-z.:_-]{1,255}) (?<port>\\d{1,5}) typ (?:host|srflx|prflx|relay)" +
    "(?<more>(?: [\\x21-\\x7e]+ [\\x21-\\x7e]+)*)$",
);
const UUID_LOCAL = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.local$/i;
const NUMBERS = { rport: 65535, generation: 2 ** 32 - 1, "network-id": 65535, "network-cost": 65535 };
const WORDS = { tcptype: /^(?:active|passive|so)$/, ufrag: /^[A-Za-z0-9+/]{1,256}$/, pwd: /^[A-Za-z0-9+/]{1,256}$/ };

/** Decides which candidates of one peer are used, counting them over its whole life. */
export class CandidateFilter {
  #left = MAX_CANDIDATES;
  #namedLeft = MAX_NAMED;
  #allowLoopback;

  /** @param {boolean} allowLoopback keep addresses of this machine alone, for two peers on it */
  constructor(allowLoopback) {
    this.#allowLoopback = allowLoopback;
  }

  /**
   * Whether to use a candidate; those beyond the limits of count are not.
   *
   * @param {string} text from `candidate:` on; refused with an error if it is none at all
   */
  accepts(text) {
    const parts = CANDIDATE.exec(text)?.groups;
    if (!parts) throw broken("The other side sent an ICE candidate that cannot be read.");
    if (this.#left === 0) return false;
    this.#left -= 1;
    const words = parts.more.split(" ").filter(Boolean);
    const more = new Map();
    for (let at = 0; at < words.length; at += 2) more.set(words[at], words[at + 1]);
    // engines do not agree on which of two they take, nor on what to make of nonsense
    if (2 * more.size !== words.length || ![...more].every(([name, value]) => maySay(name, value))) return false;
    if (Number(parts.component) !== 1 || Number(parts.priority) >= 2 ** 32 || !portAllowed(parts, more)) return false;
    if (UUID_LOCAL.test(parts.host)) {
      this.#namedLeft -= 1;
      return this.#namedLeft >= 0;
    }
    return addressAllowed(parts.host, this.#allowLoopback);
  }

  /** Whether to send a candidate of our own; one that no peer could read is kept to ourselves. */
  announces(text) {
    return CANDIDATE.test(text) && this.accepts(text);
  }
}

function maySay(name, value) {
  if (name === "raddr") return canonical(value) !== null;
  if (Object.hasOwn(NUMBERS, name)) return /^\d+$/.test(value) && Number(value) <= NUMBERS[name];
  return !Object.hasOwn(WORDS, name) || WORDS[name].test(value);
}

function portAllowed({ port, transport }, more) {
  const kind = transport.toLowerCase();
  // RFC 6544: the side that dials writes the discard port; nobody connects to it
  if (kind === "tcp" && more.get("tcptype") === "active") return Number(port) === 9;
  return (kind === "udp" || kind === "tcp") && Number(port) >= 1024 && Number(port) <= 65535;
}

/** An address in the one form that a browser writes it in; null for what is none: a name would have to be looked up. */
function canonical(host) {
  const four = /^(?:\d{1,3}\.){3}\d{1,3}$/.test(host) && host.split(".").every((part) => part === String(Number(part)));
  if (!four && !/^[0-9a-f:.]*:[0-9a-f:.]*$/i.test(host)) return null;
  try {
    return new URL(four ? `http://${host}/` : `http://[${host}]/`).hostname;
  } catch {
    return null;
  }
}

function addressAllowed(host, allowLoopback) {
  const address = canonical(host);
  if (address === null) return false;
  const mapped = /^\[::ffff:([0-9a-f]+):([0-9a-f]+)\]$/.exec(address);
  const first = mapped ? parseInt(mapped[1], 16) >> 8 : Number(address.split(".")[0]);
  const second = mapped ? parseInt(mapped[1], 16) & 255 : Number(address.split(".")[1]);
  if (address.startsWith("[") && !mapped) {
    if (address === "[::1]") return allowLoopback;
    return address !== "[::]" && !/^\[(?:fe[89ab]|ff)/.test(address);
  }
  if (first === 127) return allowLoopback;
  const linkLocal = first === 169 && second === 254;
  const nowhere =
    address === "0.0.0.0" ||
    address === "255.255.255.255" ||
    address === "[::ffff:0:0]" ||
    address === "[::ffff:ffff:ffff]";
  return !linkLocal && !nowhere && !(first >= 224 && first < 240);
}

/** The certificate's SHA-256 that a description announces, as 32 bytes; an error unless it has exactly one. */
export function fingerprintOf(sdp) {
  const found = linesOf(sdp).filter((line) => line.toLowerCase().includes("fingerprint"));
  if (found.length !== 1) {
    throw broken(`A session description must have exactly one fingerprint; this one has ${found.length}.`);
  }
  const match = FINGERPRINT.exec(found[0]);
  if (!match) throw broken("A session description must have a sha-256 fingerprint; this one has another.");
  return unhex(match[1].replaceAll(":", ""));
}

/**
 * What is sent of the description that the browser made: one fingerprint line, and candidates that a peer accepts.
 *
 * @param {string} sdp
 * @param {boolean} allowLoopback
 */
export function ownDescription(sdp, allowLoopback) {
  const lines = linesOf(sdp);
  const ours = lines.filter((line) => FINGERPRINT.test(line));
  if (new Set(ours.map((line) => line.toLowerCase())).size !== 1) {
    throw broken("The browser described itself without one sha-256 fingerprint.");
  }
  const first = lines.indexOf(ours[0]);
  const filter = new CandidateFilter(allowLoopback);
  const kept = lines.filter((line, at) => at === first || !line.toLowerCase().includes("fingerprint"));
  return text(kept.filter((line) => !line.startsWith("a=candidate:") || filter.announces(line.slice(2))));
}

/**
 * Judge a description of the other side, and leave out the candidates that may not be used.
 *
 * @param {string} sdp as it came
 * @param {CandidateFilter} filter goes on counting candidates that are trickled later
 * @returns {string} the text to give to the browser, and to take the fingerprint from
 */
export function checkDescription(sdp, filter) {
  if (typeof sdp !== "string" || sdp.length > MAX_SDP) {
    throw broken(`A session description may have ${MAX_SDP} bytes; the other side sent a larger one.`);
  }
  const lines = linesOf(sdp);
  fingerprintOf(sdp);
  const media = lines.filter((line) => line.startsWith("m="));
  if (media.length !== 1 || !media[0].startsWith("m=application ")) {
    throw broken("A session description must offer one data connection and nothing else.");
  }
  if (!lines.filter((line) => line.toLowerCase().startsWith("a=setup")).every((line) => SETUP.test(line))) {
    throw broken("A session description may name the roles actpass, active and passive; this has another.");
  }
  const isCandidate = (line) => line.toLowerCase().startsWith("a=candidate");
  if (lines.filter(isCandidate).length > MAX_CANDIDATES) {
    throw broken(`A session description may list ${MAX_CANDIDATES} candidates; this one has more.`);
  }
  return text(lines.filter((line) => !isCandidate(line) || filter.accepts(line.slice(2))));
}

function linesOf(sdp) {
  const lines = sdp.replaceAll("\r\n", "\n").replace(/\n$/, "").split("\n");
  if (!lines.every((line) => LINE.test(line))) throw broken("A session description has a line that cannot be read.");
  return lines;
}

const text = (lines) => lines.map((line) => `${line}\r\n`).join("");
