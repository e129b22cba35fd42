// Worker tokens that were made in this tab, by room. They are here until the tab is closed or reloaded, and nowhere else.

const made = new Map();
// protocol/tokens.py
const FORM = /^slp_[0-9A-Za-z]{36}$/;

/** Keep a token that the service has just shown this once; an error if it is none: people paste it into a shell. */
export function keepToken(room, token) {
  if (!FORM.test(token)) throw new Error("The service answered with something that is no token, so it is not shown. Ask its operator.");
  made.set(room, token);
}

/** The latest token that was made for a room in this tab; undefined if none was. */
export const tokenOf = (room) => made.get(room);
