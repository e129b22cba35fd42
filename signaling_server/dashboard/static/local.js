// What a page on loopback (`sleap-rtc dashboard`) knows of its machine: the secrets of rooms, and the workers it has met.
//
// The secrets themselves stay there. The page gets keys that are derived from one, for its proofs, and sees a secret only
// when it has just been made. A page that comes from the service has none of this: rooms with a secret are closed to it.

import { get, path, post, put } from "./api.js";
import { onlyHere } from "./commands.js";
import { browserPins } from "./peer/worker.js";
import { current, listen } from "./store.js";
import { plain } from "./words.js";

const local = () => ({ base: new URL("../local/", document.baseURI) });

// what the page has called each room since it was loaded: whoever picks one by its name must get that one
const names = new Map();
listen(({ room, rooms }) => {
  for (const each of [room, ...(rooms ?? [])]) if (each) namesOf(each.room_id).add(seen(each.name));
});

const namesOf = (roomId) => names.get(roomId) ?? names.set(roomId, new Set()).get(roomId);

// as a browser shows it
const seen = (name) => plain(name).split(/\s+/).filter(Boolean).join(" ");

/** Whether the page comes from this machine. */
export const onThisMachine = () => current().page?.kind === "loopback";

/**
 * The keys for links in a room, those of its newest secret first; none where the room has no secret.
 *
 * A room without a secret is refused where it is called like one that has a secret on this machine.
 *
 * @param {string} roomId
 * @returns {Promise<{epoch: number, id: string, clientKey: string, workerKey: string}[]>} keys in hex.
 */
export async function secrets(roomId) {
  if (!onThisMachine()) return [];
  const query = new URLSearchParams([...namesOf(roomId)].map((name) => ["name", name]));
  return get(`${path`secrets/${roomId}`}?${query}`, local());
}

/**
 * The keys (hex) that workers had when they were met before.
 *
 * On loopback they are those that the command line keeps, under what each worker is called in its room: both refuse with
 * the sentence to be shown if that name is another worker's. A page of the service keeps them in the browser.
 */
export const pins = {
  /**
   * @param {string} workerId
   * @param {{room: string, name: string}} met where, and what the worker is called there.
   * @returns {Promise<string|null>}
   */
  async get(workerId, { room, name }) {
    if (!onThisMachine()) return browserPins.get(workerId);
    const query = new URLSearchParams({ room, name });
    return (await get(`${path`workers/${workerId}`}?${query}`, local())).key;
  },

  /** Remember a worker that has proven its key. */
  async set(workerId, key, { room, name }) {
    if (!onThisMachine()) browserPins.set(workerId, key);
    else await put(path`workers/${workerId}`, { room, name, key }, local());
  },
};

/** What a room's peer (peer/room.js) is given on this page. */
export const peerSettings = () => ({
  pins,
  secrets,
  // two peers of one machine meet on loopback only where the service is on that machine, too, and not just this page
  ...(onThisMachine() && { allowLoopback: onlyHere(current().page.server), relayOnly: current().page.relay_only }),
});

/** What this machine has of a room's secret: {known, here, since, ids, words, warning}. */
export const standing = (roomId, signal) => get(path`secrets/${roomId}/standing`, { ...local(), signal });

/** Make a newer secret for a room. The answer holds its text, which is shown this once. */
export const makeSecret = (roomId, name, endOld) =>
  post(path`secrets/${roomId}`, { end_old: endOld, name: seen(name) }, local());
