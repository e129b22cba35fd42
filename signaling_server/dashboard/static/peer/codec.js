// The envelope of every JSON message, {type, id?, re?, error?, …}, and text from strangers becoming one.

import { utf8 } from "./bytes.js";
import { broken } from "./errors.js";

/** Bytes of the largest message. */
export const MAX_MESSAGE = 64 * 1024;
const MAX_DEPTH = 16;
const MAX_CONTAINERS = 50_000;

/**
 * A message as text.
 *
 * @param {{type: string}} message
 */
export function encode(message) {
  const text = JSON.stringify(message);
  if (utf8(text).length > MAX_MESSAGE) {
    throw broken(`A ${message.type} message would be larger than ${MAX_MESSAGE} bytes. Say less at once.`);
  }
  return text;
}

/**
 * Text of the other side as a message, its envelope checked; what is in it is checked by whoever reads it.
 *
 * @param {unknown} text
 * @returns {{type: string, id?: number, re?: number}}
 */
export function decode(text) {
  const body = parseJson(text, MAX_MESSAGE);
  if (body === null || typeof body !== "object" || Array.isArray(body) || typeof body.type !== "string") {
    throw broken("A message arrived that is no object with a type.");
  }
  for (const name of ["id", "re"]) {
    const number = body[name] ?? undefined;
    if (number !== undefined && !(Number.isSafeInteger(number) && number >= 0)) {
      throw broken(`A message arrived with a wrong value at '${name}'.`);
    }
    body[name] = number;
  }
  return body;
}

/**
 * Parse a stranger's JSON: so many bytes, not too deep, not too many lists and objects.
 *
 * JSON.parse takes the last of two equal keys, where peers in Python refuse; nothing here is read in two ways.
 *
 * @param {unknown} text
 * @param {number} limit bytes
 */
export function parseJson(text, limit) {
  if (typeof text !== "string") throw broken("Binary data arrived where text was expected.");
  // no text has fewer bytes than UTF-16 units
  if (text.length > limit || utf8(text).length > limit) throw broken(`A message larger than ${limit} bytes arrived.`);
  checkDepth(text);
  try {
    return JSON.parse(text);
  } catch {
    throw broken("A message arrived that is not valid JSON.");
  }
}

function checkDepth(text) {
  // counted before parsing: what is nested a thousand times must cost nothing
  let depth = 0;
  let opened = 0;
  for (const [found] of text.matchAll(/"(?:[^"\\]|\\.)*"?|[[\]{}]/gs)) {
    if (found === "[" || found === "{") {
      depth += 1;
      opened += 1;
    } else if (found === "]" || found === "}") {
      depth -= 1;
    }
    if (depth > MAX_DEPTH || opened > MAX_CONTAINERS)
      throw broken("A message arrived that is nested too deep or too often.");
  }
}
