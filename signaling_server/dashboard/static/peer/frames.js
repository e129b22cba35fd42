// Binary frames of a lane: u8 kind, u8 flags, u16 zero, u32 stream, u64 offset, all in network order, then payload.

import { broken } from "./errors.js";

/** Bytes before the payload. */
export const HEADER = 16;
/** Bytes of a frame that every engine takes. */
export const USUAL_FRAME = 64 * 1024;
/** Bytes of the largest frame that may be asked for. */
export const MAX_FRAME = 256 * 1024;

const DATA = 1;
const LAST = 1;

/**
 * A frame as bytes.
 *
 * @param {number} stream its number, 1 to 2^32 - 1
 * @param {number} offset where in the stream the payload begins
 * @param {Uint8Array} payload
 * @param {boolean} last whether the stream ends with it
 */
export function pack(stream, offset, payload, last) {
  const frame = new Uint8Array(HEADER + payload.length);
  const view = new DataView(frame.buffer);
  view.setUint8(0, DATA);
  view.setUint8(1, last ? LAST : 0);
  view.setUint32(4, stream);
  view.setBigUint64(8, BigInt(offset));
  frame.set(payload, HEADER);
  return frame;
}

/**
 * Read a frame of the other side's; its payload is a view into `buffer`.
 *
 * @param {ArrayBuffer} buffer
 * @returns {{stream: number, offset: number, last: boolean, payload: Uint8Array}}
 */
export function unpack(buffer) {
  if (buffer.byteLength < HEADER || buffer.byteLength > MAX_FRAME) throw broken("A frame of a wrong size arrived.");
  const view = new DataView(buffer);
  const flags = view.getUint8(1);
  const stream = view.getUint32(4);
  if (view.getUint8(0) !== DATA || flags & ~LAST || view.getUint16(2) || !stream) {
    throw broken("A frame of an unknown kind arrived.");
  }
  return {
    stream,
    offset: Number(view.getBigUint64(8)),
    last: flags === LAST,
    payload: new Uint8Array(buffer, HEADER),
  };
}
