// What goes wrong between this page and a worker, as a sentence for whoever sits before it.

/** An error with a code for programs (docs/protocol.md, "Errors") and a sentence for people. */
export class PeerError extends Error {
  /**
   * @param {string} code one of the protocol's error codes
   * @param {string} sentence what happened, why, and what to do
   */
  constructor(code, sentence) {
    super(sentence);
    this.name = "PeerError";
    this.code = code;
  }

  /** What happened, why, and what to do. */
  get sentence() {
    return this.message;
  }
}

/** The other side broke the protocol. */
export const broken = (sentence) => new PeerError("protocol", sentence);

/** A link or a connection ended; what was asked over it may be asked again over the next one. */
export const lost = (sentence) => new PeerError("connection_lost", sentence);

/** Somebody cannot be reached. */
export const unreachable = (sentence) => new PeerError("unreachable", sentence);

/** Whether an error says that there is no more to be had here: trying again would only be refused again. */
export const isFinal = (error) => error.final === true || error.code === "authentication" || error.code === "forbidden";

/** Tell all listeners; what one of them does wrong is the page's business, and no other's. */
export function tellAll(listeners, ...what) {
  for (const listener of [...listeners]) {
    try {
      listener(...what);
    } catch (error) {
      reportError(error);
    }
  }
}

const ESCAPES = /\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]|\x1b\[[0-?]*[ -/]*[@-~]/g;
const UNSEEN = /[^\P{C}\n\t]|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/**
 * Free a stranger's text of escape sequences, control characters (but newline and tab) and bidi overrides.
 *
 * @param {string} text
 * @param {number} [limit] characters kept; of a longer text the rest becomes an ellipsis
 */
export function printable(text, limit = 8192) {
  const kept = text.replace(ESCAPES, "").replace(UNSEEN, "");
  return kept.length <= limit ? kept : `${kept.slice(0, limit - 1)}…`;
}

/**
 * The error that a message of the other side tells of.
 *
 * @param {unknown} info `{code, sentence}` as it came
 */
export function fromWire(info) {
  const { code, sentence } = info !== null && typeof info === "object" ? info : {};
  if (typeof code !== "string" || !/^[a-z0-9_]{1,64}$/.test(code) || typeof sentence !== "string") {
    return broken("The other side reported an error that cannot be read.");
  }
  return new PeerError(code, printable(sentence));
}

/** What is told to the other side of an error; of one that is none of ours nothing but that it happened. */
export const toWire = (error) =>
  error instanceof PeerError
    ? { code: error.code, sentence: error.sentence.slice(0, 8000) }
    : { code: "internal", sentence: "The page failed inside; its browser's console says more." };
