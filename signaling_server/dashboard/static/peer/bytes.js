// Bytes, hex digits and hashes.

const encoder = new TextEncoder();

/** Text as UTF-8. */
export const utf8 = (text) => encoder.encode(text);

/** Bytes (or a buffer) as lower-case hex digits. */
export const hex = (bytes) => Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Hex digits as bytes; whoever calls has checked that they are hex digits. */
export const unhex = (digits) => Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));

/** Whether a value is `bytes` bytes written as lower-case hex digits. */
export const isHex = (value, bytes) =>
  typeof value === "string" && value.length === 2 * bytes && /^[0-9a-f]*$/.test(value);

/** A number as u32 in network order. */
export const u32 = (number) => Uint8Array.of(number >>> 24, number >>> 16, number >>> 8, number);

/**
 * Several pieces of bytes as one.
 *
 * @param {Uint8Array[]} parts
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function join(parts) {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** SHA-256 (FIPS 180-4) of bytes, 32 bytes. */
export const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));

const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/** Base32 (RFC 4648) without padding. */
export function base32(bytes) {
  const bits = Array.from(bytes, (byte) => byte.toString(2).padStart(8, "0")).join("");
  return (bits.match(/.{1,5}/g) ?? []).map((five) => BASE32[parseInt(five.padEnd(5, "0"), 2)]).join("");
}
