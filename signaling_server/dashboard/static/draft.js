// The job that somebody is about to start in a room. Its id outlives a reload of the page: the same package dropped again
// goes on where it was, and no byte that arrived is sent again.

import { newJobId } from "./peer/worker.js";

const KEPT = "sleap-rtc:draft:";
const drafts = new Map();

/** What was picked in this room since the page was loaded: a package, a worker, settings. Changed in place. */
export function draftOf(room) {
  if (!drafts.has(room)) drafts.set(room, { pkg: null, worker: "", sentTo: "", inspected: null, values: {}, registerAs: "" });
  return drafts.get(room);
}

/** The id under which a package of this digest is sent: the same one until it is a job. */
export function jobIdOf(room, digest) {
  const known = kept(room);
  return known?.digest === digest ? known.job : keep(room, { digest, job: newJobId(), worker: "" }).job;
}

/** Note to which worker it is sent. */
export const noteSentTo = (room, digest, worker) => keep(room, { digest, job: jobIdOf(room, digest), worker });

/** The worker to which a package of this digest was sent, whole or in part; empty if none. */
export const sentTo = (room, digest) => (kept(room)?.digest === digest ? kept(room).worker : "");

/** Whether a package was on its way when the page was loaded again. */
export const wasOnItsWay = (room) => kept(room) !== null;

/** Begin anew: the draft has become a job, or was given up. */
export function forget(room) {
  drafts.delete(room);
  sessionStorage.removeItem(KEPT + room);
}

const kept = (room) => JSON.parse(sessionStorage.getItem(KEPT + room));

function keep(room, what) {
  sessionStorage.setItem(KEPT + room, JSON.stringify(what));
  return what;
}
