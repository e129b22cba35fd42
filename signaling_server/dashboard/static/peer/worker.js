// What the views use of a room and its workers.

export { PeerError } from "./errors.js";
export { newJobId } from "./ids.js";
export { makePackage } from "./package.js";
export { RemoteWorker } from "./remote.js";
export { browserPins, Room } from "./room.js";
