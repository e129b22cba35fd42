// Bringing one file from a worker into this page: its chunks come in any order, each is checked, and what came stays.

import { hex, isHex, sha256 } from "./bytes.js";
import { parseJson } from "./codec.js";
import { broken, PeerError, printable } from "./errors.js";

const AT_ONCE = 8; // spans under way
const SPAN = 512 * 1024;
const MAX_MANIFEST = 64 * 1024; // of one file
const MAX_CHUNK = 8 * 1024 * 1024;
const MAX_FILE_SIZE = 2 ** 41;
const SINGLE = 16 * 1024;
const ENTRY = 36;
const MOST_FAILURES = 3;
const LANES = 2;

/** One download; `run` may be called again on another link, and goes on from what is here. */
export class Download {
  #transfer;
  #onProgress;
  #signal;
  #manifest = null;
  #spans = [];
  #parts = [];
  #failures = new Map();

  /**
   * @param {string} transfer its id; it must be of one file
   * @param {object} how
   * @param {(done: number, total: number) => void} [how.onProgress]
   * @param {AbortSignal} [how.signal]
   */
  constructor(transfer, { onProgress = () => {}, signal } = {}) {
    this.#transfer = transfer;
    this.#onProgress = onProgress;
    this.#signal = signal;
  }

  /**
   * Bring what is missing.
   *
   * @param {import("./session.js").Session} session
   * @returns {Promise<{name: string, blob: Blob}>}
   */
  async run(session) {
    await this.#begin(session);
    const waiting = this.#spans.filter((_, at) => !this.#parts[at]);
    this.#tell();
    session.wantLanes(LANES);
    const stopped = new AbortController();
    const signal = this.#signal ? AbortSignal.any([this.#signal, stopped.signal]) : stopped.signal;
    try {
      await Promise.all(Array.from({ length: AT_ONCE }, () => this.#work(session, waiting, signal)));
    } finally {
      stopped.abort(broken("The download has ended."));
      session.wantLanes(1);
    }
    return { name: safeName(this.#manifest.path), blob: new Blob(this.#parts) };
  }

  async #begin(session) {
    const entry = await this.#entry(session);
    const known = this.#manifest;
    if (known && known.size === entry.size && known.chunks === entry.chunks && known.sha256 === entry.sha256) return;
    this.#spans = spansOf(await this.#chunks(session, entry));
    this.#parts = new Array(this.#spans.length).fill(null);
    this.#failures.clear();
    this.#manifest = entry;
  }

  async #entry(session) {
    const request = { type: "manifest.get", transfer: this.#transfer };
    const data = await this.#whole(session, request, MAX_MANIFEST);
    const body = parseJson(new TextDecoder("utf-8", { fatal: false }).decode(data), MAX_MANIFEST);
    const [entry, ...others] = Array.isArray(body?.files) ? body.files : [];
    if (!entry || others.length) throw broken("The worker offers something else than the one file that was asked for.");
    const { path, size, sha256: whole, chunks } = entry;
    const hasChunks = isHex(chunks, 32);
    const good = typeof path === "string" && Number.isSafeInteger(size) && size >= 0 && size <= MAX_FILE_SIZE;
    if (!good || !(hasChunks || (size <= SINGLE && isHex(whole, 32))))
      throw broken("The worker's list of files cannot be read.");
    return { path, size, sha256: whole, chunks: hasChunks ? chunks : null };
  }

  async #chunks(session, { size, sha256: whole, chunks }) {
    if (chunks === null) return size ? [{ length: size, sha256: whole }] : [];
    const request = { type: "chunks.get", transfer: this.#transfer, file: 0 };
    const data = await this.#whole(session, request, maxChunks(size) * ENTRY);
    if (hex(await sha256(data)) !== chunks)
      throw broken("The list of the file's parts is not the one that was announced.");
    const view = new DataView(data.buffer);
    const found = Array.from({ length: Math.floor(data.length / ENTRY) }, (_, at) => ({
      length: view.getUint32(at * ENTRY),
      sha256: hex(data.subarray(at * ENTRY + 4, (at + 1) * ENTRY)),
    }));
    const sum = found.reduce((total, { length }) => total + length, 0);
    if (data.length % ENTRY || sum !== size || found.some(({ length }) => length < 1 || length > MAX_CHUNK)) {
      throw broken("A list of parts arrived that does not fit its file.");
    }
    return found;
  }

  async #whole(session, request, most) {
    for (;;) {
      try {
        return await session.ask(request, { most, signal: this.#signal });
      } catch (error) {
        if (error.code !== "lane_lost" || session.reason) throw error;
      }
    }
  }

  async #work(session, waiting, signal) {
    for (let span = waiting.shift(); span; span = waiting.shift()) {
      const request = { type: "file.get", transfer: this.#transfer, file: 0, offset: span.offset, size: span.size };
      try {
        const data = await session.ask(request, { most: span.size, exact: true, signal });
        await this.#keep(span, data, waiting);
      } catch (error) {
        if (error.code !== "lane_lost" || session.reason) throw error;
        waiting.unshift(span);
      }
    }
  }

  async #keep(span, data, waiting) {
    if (await isGood(span, data)) {
      // out of this tab's memory: the browser keeps blobs, on its disk where they are many
      this.#parts[span.at] = new Blob([data]);
      this.#tell();
      return;
    }
    const failures = (this.#failures.get(span.at) ?? 0) + 1;
    this.#failures.set(span.at, failures);
    if (failures >= MOST_FAILURES) {
      throw new PeerError(
        "transfer",
        `A part of the file arrived damaged ${MOST_FAILURES} times: it changed on the worker, or ` +
          "the worker's disk is failing. Try the download again.",
      );
    }
    waiting.unshift(span);
  }

  #tell() {
    const done = this.#spans.reduce((sum, { size }, at) => sum + (this.#parts[at] ? size : 0), 0);
    this.#onProgress(done, this.#manifest.size);
  }
}

async function isGood(span, data) {
  if (data.length !== span.size) return false;
  let at = 0;
  const digests = span.chunks.map(({ length }) => sha256(data.subarray(at, (at += length))));
  return (await Promise.all(digests)).every((digest, index) => hex(digest) === span.chunks[index].sha256);
}

/** Neighbouring chunks that are asked for together. */
function spansOf(chunks) {
  const spans = [];
  let offset = 0;
  for (const chunk of chunks) {
    const last = spans.at(-1);
    if (last && last.size + chunk.length <= SPAN) {
      last.chunks.push(chunk);
      last.size += chunk.length;
    } else {
      spans.push({ at: spans.length, offset, size: chunk.length, chunks: [chunk] });
    }
    offset += chunk.length;
  }
  return spans;
}

/** The most chunks that a file may be cut into, as protocol/chunks.py has it. */
function maxChunks(size) {
  let average = 32 * 1024;
  while (average < 2 * 1024 * 1024 && size > average * 64 * 1024) average *= 2;
  return Math.min(2 ** 20, Math.floor((4 * size) / average) + 1);
}

/** A worker's file name as one that may lie in anybody's folder of downloads. */
export function safeName(path) {
  const name = printable(path.split(/[\\/]/).at(-1), 200)
    .replace(/[<>:"|?*\n\t]/g, "_")
    .replace(/^[. ]+|[. ]+$/g, "");
  return name || "download.zip";
}
