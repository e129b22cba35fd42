// A package on its way from this page to a worker: listed, hashed chunk by chunk, and read again as the worker asks.
//
// A browser hashes whole buffers only. So files are cut at fixed lengths, each chunk is hashed, and the digest of a
// file of several chunks is left to the worker: the manifest names the digest of its chunk list alone.

import { hex, join, sha256, utf8 } from "./bytes.js";
import { PeerError, printable } from "./errors.js";
import { abortable } from "./link.js";
import { integer } from "./shapes.js";

const CHUNK = 256 * 1024; // grows with the file, as the protocol's usual chunks do:
const USUAL_CHUNKS = 64 * 1024;
const LARGEST_CHUNK = 2 * 1024 * 1024;
const SINGLE = 16 * 1024; // a file up to this size needs no chunk list
const MAX_FILE_SIZE = 2 ** 20 * LARGEST_CHUNK;
const MAX_ENTRIES = 20_000;
const MAX_MANIFEST = 16 * 1024 * 1024;
const BLOCK = 4 * 1024 * 1024;
const PART = 64 * BLOCK; // of a file that is streamed at once
const ENTRY = 36; // bytes of a chunk in its list: u32 length, SHA-256

/** Files that a page offers: what `makePackage` returns. */
export class Package {
  /**
   * @param {string} name what a job of it is called
   * @param {{path: string, file: File, sha256?: string, chunks?: string, list?: Uint8Array}[]} files
   * @param {Uint8Array} bytes the manifest as it is sent
   * @param {string} digest of the manifest
   */
  constructor(name, files, bytes, digest) {
    this.name = name;
    this.files = files;
    this.bytes = bytes;
    this.size = files.reduce((size, { file }) => size + file.size, 0);
    /** Which manifest is meant: ManifestRef of the protocol. */
    this.manifest = { size: bytes.length, digest };
  }

  /**
   * Bytes of a file.
   *
   * @param {{path: string, file: File}} entry
   * @returns {Promise<Uint8Array<ArrayBuffer>>} an error with a sentence if it changed or vanished since it was hashed
   */
  async read({ path, file }, offset, size) {
    const bytes = await read(path, file, offset, size);
    if (bytes.length !== size) throw changed(path);
    return bytes;
  }
}

/**
 * List and hash files.
 *
 * @param {{path: string, file: File}[]} entries paths with '/' between names, as a folder or a zip would have them
 * @param {object} [how]
 * @param {string} [how.name] what a job of it is called
 * @param {(done: number, total: number) => void} [how.onHashed] told the bytes hashed so far and those there are
 * @param {AbortSignal} [how.signal]
 * @returns {Promise<Package>}
 */
export async function makePackage(entries, { name = "package", onHashed = () => {}, signal } = {}) {
  const wanted = entries.filter(({ path }) => !isClutter(path));
  if (!wanted.length)
    throw refused(
      "There is no file in what was dropped. Drop the package that SLEAP exported, or its unpacked folder.",
    );
  if (wanted.length > MAX_ENTRIES) throw refused(`The package has more than ${MAX_ENTRIES} files. Drop it as one zip.`);
  const total = wanted.reduce((size, { file }) => size + file.size, 0);
  let done = 0;
  const count = (size) => onHashed((done += size), total);
  const files = [];
  for (const { path, file } of wanted) files.push(await hashed(path, file, count, signal));
  onHashed(total, total);
  const bytes = utf8(JSON.stringify({ files: files.map(described) }));
  if (bytes.length > MAX_MANIFEST)
    throw refused("The package has too many files with too long names. Drop it as one zip.");
  return new Package(printable(name, 256).trim() || "package", files, bytes, await digestOf(files));
}

const described = ({ path, file, sha256, chunks }) => ({ path, size: file.size, sha256, chunks });
const refused = (sentence) => new PeerError("package", sentence);
const changed = (path) =>
  new PeerError(
    "transfer",
    `${path} changed or vanished since it was dropped. Wait until nothing writes to it, then drop it again.`,
  );

/** What a desktop leaves in folders, and is none of the user's. */
const isClutter = (path) => path.startsWith("__MACOSX/") || path.split("/").at(-1).startsWith(".");

const chunkSize = (size) => {
  let chunk = CHUNK;
  while (chunk < LARGEST_CHUNK && size > chunk * USUAL_CHUNKS) chunk *= 2;
  return chunk;
};

async function hashed(path, file, count, signal) {
  if (file.size > MAX_FILE_SIZE) throw refused(`${path} is too large to be sent. Split it, or give a part of it.`);
  const chunk = chunkSize(file.size);
  const list = new Uint8Array(Math.ceil(file.size / chunk) * ENTRY);
  const view = new DataView(list.buffer);
  let at = 0;
  for await (const block of blocks(path, file, signal)) {
    const cuts = Array.from({ length: Math.ceil(block.length / chunk) }, (_, each) =>
      block.subarray(each * chunk, (each + 1) * chunk),
    );
    const digests = await Promise.all(cuts.map(sha256));
    cuts.forEach((cut, each) => {
      view.setUint32(at, cut.length);
      list.set(digests[each], at + 4);
      at += ENTRY;
    });
    count(block.length);
  }
  const found = { path, file };
  if (list.length <= ENTRY) found.sha256 = list.length ? hex(list.subarray(4)) : hex(await sha256(new Uint8Array(0)));
  return file.size > SINGLE ? { ...found, list, chunks: hex(await sha256(list)) } : found;
}

/** The file's bytes, block by block, each good until the next one is asked for. */
async function* blocks(path, file, signal) {
  // one buffer again and again: what is left to a browser's collector of garbage grows to hundreds of megabytes
  let buffer = new ArrayBuffer(BLOCK);
  let reader = null;
  for (let offset = 0; offset < file.size; offset += BLOCK) {
    // Chromium's stream of a file beyond 2 GiB falls silent: it is read in parts that are far smaller
    if (offset % PART === 0) reader = intoBuffer(file.slice(offset, Math.min(offset + PART, file.size)));
    const size = Math.min(BLOCK, file.size - offset);
    let filled = reader ? 0 : size;
    let block = reader ? null : await abortable(read(path, file, offset, size), signal);
    while (filled < size) {
      const { value, done } = await abortable(next(reader, new Uint8Array(buffer, filled, size - filled)), signal);
      if (done) throw changed(path);
      buffer = value.buffer;
      filled += value.length;
      block = new Uint8Array(buffer, 0, size);
    }
    if (block.length !== size) throw changed(path);
    yield block;
  }
}

/** Reads a file into buffers of ours; null where the browser cannot do that. */
function intoBuffer(file) {
  try {
    return file.stream().getReader({ mode: "byob" });
  } catch {
    return null;
  }
}

async function next(reader, view) {
  try {
    return await reader.read(view);
  } catch {
    return { done: true }; // as in `read`
  }
}

async function read(path, file, offset, size) {
  try {
    return new Uint8Array(await file.slice(offset, offset + size).arrayBuffer());
  } catch {
    throw changed(path); // the browser says no more than that it is not the file that was chosen
  }
}

/** SHA-256 over the sorted lines of all files: the same tree has the same digest whatever its order. */
async function digestOf(files) {
  const lines = files.map(({ path, file, sha256, chunks }) =>
    utf8(`${sha256 ?? `chunks:${chunks}`} ${file.size} ${path}\n`),
  );
  // by their bytes, which is by code points: a plain sort would compare UTF-16
  lines.sort((one, other) => {
    const at = one.findIndex((byte, index) => byte !== other[index]);
    return at < 0 ? one.length - other.length : one[at] - (other[at] ?? -1);
  });
  return hex(await sha256(join(lines)));
}

const BLOCK_SENT = 1024 * 1024;

/**
 * What answers a worker's requests for the files of a package.
 *
 * @param {(transfer: string) => Package} find the package on offer under an id; throws if there is none
 */
export function providersOf(find) {
  const fileOf = ({ transfer, file }) => {
    const entry = find(transfer).files[integer(0)(file, "file")];
    if (!entry) throw new PeerError("not_found", "That transfer has no such file.");
    return entry;
  };
  return {
    "manifest.get": async (request, stream) => stream.write(find(request.transfer).bytes, true),
    "chunks.get": async (request, stream) => stream.write(fileOf(request).list ?? new Uint8Array(0), true),
    "file.get": async (request, stream) => {
      const entry = fileOf(request);
      const end = integer(0)(request.offset, "offset") + integer(1)(request.size, "size");
      if (end > entry.file.size) {
        throw new PeerError("protocol", `${entry.path} was asked for beyond its end.`);
      }
      for (let offset = request.offset; offset < end; offset += BLOCK_SENT) {
        const size = Math.min(BLOCK_SENT, end - offset);
        await stream.write(await find(request.transfer).read(entry, offset, size), offset + size === end);
      }
    },
  };
}
