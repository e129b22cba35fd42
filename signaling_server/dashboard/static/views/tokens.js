// The worker tokens of all rooms that one owns.

import { get } from "../api.js";
import { h, replace } from "../dom.js";
import { live } from "../live.js";
import { link } from "../router.js";
import { empty, name, select, table } from "../ui.js";
import { filterBox } from "./lists.js";
import { COLUMNS, cells } from "./token_dialogs.js";

const EVERY_MS = 10_000;
const WHICH = [["active", "Only active ones"], ["", "All, ended ones too"]];

export const title = () => "Tokens";

/** Show the list, and keep it fresh. */
export function mount(root, _params, signal) {
  const heading = h("h1", {}, "Your tokens");
  const list = h("div", {});
  let all = [];
  const again = () => replace(list, shown(all));
  const which = select("which", WHICH, "", { "aria-label": "Which tokens", onchange: again });
  const box = filterBox("Find a token or a room", again);
  root.append(
    h("div.head", {}, heading, which),
    h("p.quiet", {}, "Worker tokens of the rooms that you own. A token is made in its room."),
    box.element, list);
  const shown = (tokens) => {
    all = tokens;
    heading.textContent = `Your tokens (${tokens.length})`;
    box.update(tokens.length);
    if (!tokens.length) return nothing();
    const found = tokens.filter((token) => (!which.value || token.state === which.value) && box.matches(token.name, token.room_name));
    return found.length ? listed(found, () => look()) : empty("No token of yours is like that.");
  };
  const look = live(list, "tokens", () => get("me/tokens", { signal }), shown, { ms: EVERY_MS, signal });
}

const nothing = () => empty("You own no room that has a token. A worker needs one: create it in its room, under “Tokens”.",
  h("a.button.plain", { href: link("rooms") }, "See your rooms"));

const listed = (tokens, changed) => table("Your tokens", [COLUMNS[0], "Room", ...COLUMNS.slice(1)], tokens.map((token) => {
  const [first, ...rest] = cells(token, token.room_id, changed);
  return [first, h("a", { href: link("rooms", token.room_id, "tokens") }, name(token.room_name)), ...rest];
}));
