// The client's side of the proof that opens a link (docs/protocol.md, "Opening a link"), in plain WebCrypto.
//
// A context says what both ends of a link must agree on without having said it over the link:
// {room, user, link, workerId, fpClient, fpWorker, secrets: [{epoch, key}], pinnedKey?}; fingerprints and keys are bytes.

const VERSION = 1;
const SUITE = "hkdf-sha256+hmac-sha256+ed25519";
const NO_SECRET = { epoch: 0, key: new Uint8Array(32) };

const utf8 = (text) => new TextEncoder().encode(text);
const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const bytesOf = (digits) => Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const u32 = (number) => Uint8Array.of(number >>> 24, number >>> 16, number >>> 8, number);
const is32 = (digits) => /^[0-9a-f]{64}$/.test(digits);
const join = (...parts) => Uint8Array.from(parts.flatMap((part) => [...part]));
const frames = (...parts) => join(...parts.map((part) => join(u32(part.length), part)));
const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
const saltOf = (room) => sha256(join(utf8("sleap-rtc room"), utf8(room)));

async function macKey(key) {
  return crypto.subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign", "verify"]);
}

async function proofKey(room, secret, role) {
  const material = await crypto.subtle.importKey("raw", secret.key, "HKDF", false, ["deriveBits"]);
  const how = { name: "HKDF", hash: "SHA-256", salt: await saltOf(room), info: utf8(`${role} proof`) };
  return macKey(await crypto.subtle.deriveBits(how, material, 256));
}

async function nameOf(room, secret) {
  const text = join(utf8("secret id"), secret.key);
  const digest = await crypto.subtle.sign("HMAC", await macKey(await saltOf(room)), text);
  return hex(new Uint8Array(digest).slice(0, 8));
}

async function newestCommon(context, names) {
  if (!context.secrets.length && !names.length) return NO_SECRET;
  for (const secret of [...context.secrets].sort((one, other) => other.epoch - one.epoch)) {
    const id = await nameOf(context.room, secret);
    if (names.some((name) => name.epoch === secret.epoch && name.id === id)) return secret;
  }
  throw new Error("The worker and this page have no room secret in common.");
}

async function workerIdOf(key) {
  let bits = "";
  for (const byte of await sha256(key)) bits += byte.toString(2).padStart(8, "0");
  const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  return `w_${bits.match(/.{5}/g).slice(0, 26).map((five) => digits[parseInt(five, 2)]).join("")}`;
}

/** Answer a worker's hello. Returns the text to send, and what the worker's proof is checked with. */
export async function answer(context, helloText, nonce, abilities = []) {
  const hello = JSON.parse(helloText);
  if (hello.type !== "hello" || hello.v !== VERSION || hello.suite !== SUITE) throw new Error("Another version.");
  if (!is32(hello.worker_pub) || !is32(hello.nonce)) throw new Error("The worker's hello cannot be read.");
  const key = bytesOf(hello.worker_pub);
  const isDialled = hello.worker_id === context.workerId && (await workerIdOf(key)) === context.workerId;
  if (!isDialled || (context.pinnedKey && hex(context.pinnedKey) !== hello.worker_pub)) throw new Error("Another worker.");
  const secret = await newestCommon(context, hello.secrets ?? []);
  const mine = { type: "hello.client", v: VERSION, epoch: secret.epoch, nonce: hex(nonce), abilities };
  const clientText = JSON.stringify(mine);
  const covered = frames(
    utf8("sleap-rtc/p2p-auth/1"), utf8(SUITE), utf8(context.room), u32(secret.epoch), utf8(hello.worker_id), key,
    utf8(context.user), utf8(context.link), context.fpClient, context.fpWorker, bytesOf(hello.nonce), nonce,
    await sha256(frames(utf8(helloText), utf8(clientText))),
  );
  const mac = await crypto.subtle.sign("HMAC", await proofKey(context.room, secret, "client"), covered);
  const proof = { type: "proof.client", hello: clientText, mac: hex(new Uint8Array(mac)) };
  return { text: JSON.stringify(proof), covered, secret, key };
}

/** Check the worker's proof; throws unless the MAC and the signature are both right. */
export async function check(context, { covered, secret, key }, proofText) {
  const proof = JSON.parse(proofText);
  if (proof.type !== "proof.worker" || !is32(proof.mac) || !/^[0-9a-f]{128}$/.test(proof.signature)) {
    throw new Error("The worker sent something else where its proof belongs.");
  }
  const shared = await proofKey(context.room, secret, "worker");
  const pub = await crypto.subtle.importKey("raw", key, { name: "Ed25519" }, false, ["verify"]);
  const signed = join(utf8("sleap-rtc worker/1"), covered);
  const good = await crypto.subtle.verify("HMAC", shared, bytesOf(proof.mac), covered);
  if (!good || !(await crypto.subtle.verify({ name: "Ed25519" }, pub, bytesOf(proof.signature), signed))) {
    throw new Error("The worker could not prove who it is.");
  }
}
