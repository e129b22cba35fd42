// The rooms and workers that views talk to. A link outlives the view that asked for it for a while, so that the next view
// finds it and need not prove itself again.

import { peerSettings } from "./local.js";
import { Room } from "./peer/worker.js";

const KEPT_MS = 30_000;
const rooms = new Map();

/**
 * A room, for as long as a view is shown.
 *
 * @param {string} roomId
 * @param {AbortSignal} signal aborted when the view is left.
 * @returns {Room} who is in it.
 */
export const enter = (roomId, signal) => used(roomId, signal).room;

/**
 * A worker of a room, for as long as a view is shown; an error with a sentence if it cannot be reached now.
 *
 * @returns {Promise<RemoteWorker>}
 */
export async function meet(roomId, workerId, signal) {
  const { room, workers } = used(roomId, signal);
  const known = await workers.get(workerId)?.catch(() => null);
  if (known && known.state !== "closed") return known;
  if (!workers.has(workerId) || known) {
    const meeting = room.connect(workerId);
    workers.set(workerId, meeting);
    meeting.catch(() => workers.get(workerId) === meeting && workers.delete(workerId));
  }
  return workers.get(workerId);
}

function used(roomId, signal) {
  if (!rooms.has(roomId)) {
    rooms.set(roomId, { room: new Room(roomId, peerSettings()), workers: new Map(), views: new Set(), timer: 0 });
  }
  const entry = rooms.get(roomId);
  clearTimeout(entry.timer);
  if (!entry.views.has(signal)) {
    entry.views.add(signal);
    const left = () => {
      entry.views.delete(signal);
      if (!entry.views.size) entry.timer = setTimeout(() => leave(roomId, entry), KEPT_MS);
    };
    if (signal.aborted) left();
    else signal.addEventListener("abort", left);
  }
  return entry;
}

async function leave(roomId, { room, workers }) {
  rooms.delete(roomId);
  const met = await Promise.allSettled(workers.values());
  await Promise.all(met.map(({ value }) => value?.close()));
  room.close();
}
