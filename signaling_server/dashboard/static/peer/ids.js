// Ids as protocol/ids.py has them: a prefix, then 8 to 64 of A-Z a-z 0-9 and '-'.

import { base32, hex, sha256 } from "./bytes.js";

const PREFIXES = { room: "r_", user: "u_", worker: "w_", presence: "p_", link: "l_", job: "j_" };

/**
 * Whether a value is an id of a kind.
 *
 * @param {keyof PREFIXES} kind
 * @param {unknown} value
 */
export const isId = (kind, value) =>
  typeof value === "string" && value.startsWith(PREFIXES[kind]) && /^[A-Za-z0-9-]{8,64}$/.test(value.slice(2));

/** A fresh link id. */
export const newLinkId = () => `l_${base32(crypto.getRandomValues(new Uint8Array(15))).toLowerCase()}`;

/** A fresh job id: a UUID of version 7 (RFC 9562), so that ids sort by when they were made. */
export function newJobId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  new DataView(bytes.buffer).setBigUint64(0, (BigInt(Date.now()) << 16n) | BigInt((bytes[6] << 8) | bytes[7]));
  bytes[6] = (bytes[6] & 0x0f) | 0x70;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const digits = hex(bytes);
  const parts = [digits.slice(0, 8), digits.slice(8, 12), digits.slice(12, 16), digits.slice(16, 20), digits.slice(20)];
  return `j_${parts.join("-")}`;
}

/** The id that a worker's key (32 bytes of Ed25519) makes. */
export const workerIdOf = async (key) => `w_${base32(await sha256(key)).slice(0, 26)}`;
