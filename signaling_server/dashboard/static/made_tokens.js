// Worker tokens that were made in this tab, by room. They are here until the tab is closed or reloaded, and nowhere else.

const made = new Map();

/** Keep a token that the service has just shown this once. */
export const keepToken = (room, token) => made.set(room, token);

/** The latest token that was made for a room in this tab; undefined if none was. */
export const tokenOf = (room) => made.get(room);
