// The client's side of the proof that opens a link (docs/protocol.md, "Opening a link"), in plain WebCrypto.
//
// A context says what both ends of a link must agree on without having said it over the link:
// {room, user, link, workerId, fpClient, fpWorker, secrets, pinnedKey?}. Fingerprints are bytes. `secrets` are the
// room's, as {epoch, id, clientKey, workerKey} in hex: keys derived by whoever holds the secret, which no page sees.

import { hex, isHex, join, sha256, u32, unhex, utf8 } from "./bytes.js";
import { decode } from "./codec.js";
import { broken, fromWire, PeerError } from "./errors.js";
import { workerIdOf } from "./ids.js";

const VERSION = 1;
const SUITE = "hkdf-sha256+hmac-sha256+ed25519";
const MAX_SECRETS = 4;

const frames = (...parts) => join(parts.flatMap((part) => [u32(part.length), part]));
const refused = () =>
  new PeerError(
    "authentication",
    "The link was refused because the worker could not prove who it is. Check that both use the same room and " +
      "secret, then try again.",
  );

/** What a room without a secret has in its place: keys derived from 32 zero bytes. */
async function noSecret(room) {
  const material = await crypto.subtle.importKey("raw", new Uint8Array(32), "HKDF", false, ["deriveBits"]);
  const salt = await sha256(join([utf8("sleap-rtc room"), utf8(room)]));
  const derive = async (role) =>
    hex(
      await crypto.subtle.deriveBits(
        { name: "HKDF", hash: "SHA-256", salt, info: utf8(`${role} proof`) },
        material,
        256,
      ),
    );
  return { epoch: 0, clientKey: await derive("client"), workerKey: await derive("worker") };
}

async function newestCommon({ room, secrets }, named) {
  if (!secrets.length && !named.length) return noSecret(room);
  const newestFirst = [...secrets].sort((one, other) => other.epoch - one.epoch);
  const common = newestFirst.find((secret) =>
    named.some((name) => name.epoch === secret.epoch && name.id === secret.id),
  );
  if (!common) throw new PeerError("authentication", noneInCommon(room, secrets, named));
  return common;
}

function noneInCommon(room, secrets, named) {
  const set = `sleap-rtc room set-secret ${room}`;
  if (!secrets.length) {
    return (
      "The link was refused: the worker has a secret of this room, which a page of the service must never see. " +
      "On a machine that has the secret, too, run: sleap-rtc dashboard"
    );
  }
  const why = named.length
    ? "the worker has another secret of this room"
    : "the worker has no secret of this room and this machine has one";
  return `The link was refused: ${why}. On the machine with the older one, run: ${set}`;
}

function checkHello(hello) {
  if (hello.type !== "hello") throw broken("The worker sent something else where its hello belongs.");
  if (hello.v !== VERSION || hello.suite !== SUITE) {
    throw broken(
      "The worker speaks another version of the protocol than this page: upgrade sleap-rtc on the older side.",
    );
  }
  const names = hello.secrets ?? [];
  const good =
    Array.isArray(names) &&
    names.length <= MAX_SECRETS &&
    names.every((name) => Number.isSafeInteger(name?.epoch) && name.epoch > 0 && isHex(name.id, 8));
  if (!isHex(hello.worker_pub, 32) || !isHex(hello.nonce, 32) || !good)
    throw broken("The worker's hello cannot be read.");
  return names;
}

async function publicKey(digits) {
  try {
    return await crypto.subtle.importKey("raw", unhex(digits), { name: "Ed25519" }, false, ["verify"]);
  } catch (error) {
    if (error.name !== "NotSupportedError") throw refused();
    throw new PeerError("dependency", "This browser cannot check a worker's signature (Ed25519). Use a newer one.");
  }
}

const read = (text) => {
  const message = decode(text);
  if (message.error || message.type === "error") throw fromWire(message.error);
  return message;
};

const abilitiesOf = (hello) => {
  const names = Array.isArray(hello.abilities) ? hello.abilities.slice(0, 64) : [];
  return new Set(names.filter((name) => typeof name === "string" && name.length <= 64));
};

const mac = (digits, use) =>
  crypto.subtle.importKey("raw", unhex(digits), { name: "HMAC", hash: "SHA-256" }, false, [use]);

/**
 * Answer a worker's hello.
 *
 * @param {object} context see above
 * @param {string} helloText exactly as it travelled
 * @param {Uint8Array} nonce 32 fresh random bytes
 * @param {string[]} abilities what this page can do, by name
 * @returns the text to send, what the worker can do, and what its proof is checked with
 */
export async function answer(context, helloText, nonce, abilities = []) {
  const hello = read(helloText);
  const named = checkHello(hello);
  const key = unhex(hello.worker_pub);
  if (hello.worker_id !== context.workerId || (await workerIdOf(key)) !== context.workerId) throw refused();
  if (context.pinnedKey && context.pinnedKey !== hello.worker_pub) {
    throw new PeerError(
      "authentication",
      `The worker ${context.workerId} has another key than before. Its id is made of its ` +
        "key, so somebody is standing in for it: ask who runs it.",
    );
  }
  const secret = await newestCommon(context, named);
  const mine = { type: "hello.client", v: VERSION, epoch: secret.epoch, nonce: hex(nonce), abilities };
  const clientText = JSON.stringify(mine);
  const covered = frames(
    utf8("sleap-rtc/p2p-auth/1"),
    utf8(SUITE),
    utf8(context.room),
    u32(secret.epoch),
    utf8(hello.worker_id),
    key,
    utf8(context.user),
    utf8(context.link),
    context.fpClient,
    context.fpWorker,
    unhex(hello.nonce),
    nonce,
    await sha256(frames(utf8(helloText), utf8(clientText))),
  );
  const proof = { type: "proof.client", hello: clientText };
  proof.mac = hex(await crypto.subtle.sign("HMAC", await mac(secret.clientKey, "sign"), covered));
  return { text: JSON.stringify(proof), abilities: abilitiesOf(hello), key: hello.worker_pub, covered, secret };
}

/**
 * Check the worker's proof; throws unless the MAC and the signature are both right.
 *
 * @param {object} made what `answer` returned
 * @param {string} proofText exactly as it travelled
 */
export async function check({ covered, secret, key }, proofText) {
  const proof = read(proofText);
  if (proof.type !== "proof.worker" || !isHex(proof.mac, 32) || !isHex(proof.signature, 64)) {
    throw broken("The worker sent something else where its proof belongs.");
  }
  const good = await crypto.subtle.verify("HMAC", await mac(secret.workerKey, "verify"), unhex(proof.mac), covered);
  const pub = await publicKey(key);
  const signed = join([utf8("sleap-rtc worker/1"), covered]);
  if (!good || !(await crypto.subtle.verify({ name: "Ed25519" }, pub, unhex(proof.signature), signed))) throw refused();
}
