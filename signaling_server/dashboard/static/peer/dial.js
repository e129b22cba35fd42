// Dialling a worker: offer, answer, candidates, connection, proof, session.

import { Connection } from "./connection.js";
import { encode } from "./codec.js";
import { fromWire, isFinal, lost, PeerError, unreachable } from "./errors.js";
import { newLinkId } from "./ids.js";
import { answer, check } from "./proof.js";
import { Session } from "./session.js";
import { within } from "./times.js";

const LINGER = 1000; // milliseconds in which the other side may read why it is refused
const ABILITIES = ["train"];

/**
 * Open a link to a worker.
 *
 * @param {import("./signaling.js").Signaling} signaling
 * @param {string} workerId whom to dial
 * @param {object} settings
 * @param {{get: function, set: function}} settings.pins see `Room`
 * @param {string} settings.name what the room calls the worker
 * @param {object[]} settings.secrets the room's; with any, a worker that knows none of them is refused
 * @param {boolean} settings.allowLoopback
 * @param {boolean} settings.relayOnly
 * @param {typeof import("./times.js").TIMES} settings.times
 * @param {object} settings.handlers see `Session`
 * @param {object} settings.providers see `Session`
 * @returns {Promise<Session>}
 */
export async function dial(signaling, workerId, settings) {
  const { pins, name, secrets, times, allowLoopback, relayOnly } = settings;
  await signaling.ready();
  const { principal } = signaling.welcome;
  const newConnection = () => new Connection(signaling.welcome.ice_servers.map(iceServer), { allowLoopback, relayOnly });
  // first: whoever is known to be somebody else is not even dialled
  const met = { room: principal.room, name };
  const pinnedKey = (await pins.get(workerId, met)) ?? null;
  const connection = newConnection();
  const link = newLinkId();
  try {
    await connect(signaling, connection, link, workerId, times);
    const context = {
      room: principal.room,
      user: principal.user,
      link,
      workerId,
      fpClient: connection.localFingerprint,
      fpWorker: connection.remoteFingerprint,
      secrets,
      pinnedKey,
    };
    const { abilities, key } = await prove(connection, context, times);
    await pins.set(workerId, key, met);
    return new Session(connection, { ...settings, abilities, newConnection });
  } catch (error) {
    connection.close();
    throw error;
  }
}

const iceServer = ({ urls, username, credential }) => ({
  urls,
  ...(username !== null && { username }),
  ...(credential !== null && { credential }),
});

/** Exchange offer, answer and candidates until the channel is open. */
async function connect(signaling, connection, link, workerId, times) {
  const fail = (error) => connection.fail(error);
  const forget = signaling.mailbox(link, (message) => {
    if (message.type === "answer") connection.accept(message.sdp).catch(fail);
    else if (message.type === "candidate" && message.candidate) connection.take(message.candidate).catch(fail);
    else if (message.type === "reject" || message.type === "gone") fail(whyNot(message));
  });
  connection.oncandidate = (candidate) => {
    if (signaling.connected) signaling.send({ type: "candidate", link, candidate });
  };
  try {
    const sdp = await connection.offer();
    signaling.send({ type: "offer", link, worker_id: workerId, sdp });
    await connection.opened(times.connect);
  } finally {
    forget();
    connection.oncandidate = () => {};
  }
}

function whyNot(message) {
  const error = message.error ? fromWire(message.error) : unreachable("The worker is not there.");
  // whatever the service calls it: a worker that is not there may be there again
  return message.type === "gone" || !isFinal(error) ? unreachable(error.sentence) : error;
}

/** Carry the hellos and proofs of a fresh connection; nothing else is read from it before. */
async function prove(connection, context, times) {
  const late = () => unreachable(`The worker did not prove who it is within ${times.proof / 1000} s. Try again.`);
  const exchange = async () => {
    const made = await answer(
      context,
      await connection.receive(),
      crypto.getRandomValues(new Uint8Array(32)),
      ABILITIES,
    );
    connection.send(made.text);
    await check(made, await connection.receive());
    return made;
  };
  try {
    return await within(exchange(), times.proof, late);
  } catch (error) {
    if (!(error instanceof PeerError)) throw error;
    await refuse(connection, error);
    throw error;
  }
}

async function refuse(connection, { code, sentence }) {
  // why this side cannot prove the other is for its own user: a stranger learns no more than that it is so
  const said =
    code === "authentication" ? "The link was refused because the other side could not prove who it is." : sentence;
  try {
    connection.send(encode({ type: "error", error: { code, sentence: said } }));
    // closing drops what is queued, and the reason with it
    await within(connection.receive(), LINGER, () => lost(""));
  } catch {
    // it has hung up, or says nothing more
  }
}
