// The worker tokens of one room, for its owner.

import { get, path } from "../../api.js";
import { h } from "../../dom.js";
import { live } from "../../live.js";
import { button, empty, table } from "../../ui.js";
import { COLUMNS, cells, createToken } from "../token_dialogs.js";

const EVERY_MS = 5_000;

export const title = () => "Tokens";

/** Show the list, and keep it fresh. */
export function mount(root, { about }, signal) {
  const list = h("div", {});
  const create = () => createToken(about.room_id, () => look());
  root.append(
    h("div.head", {}, h("h2", {}, "Worker tokens"), button("Create a token", create, { "data-key": "create" })),
    h("p.quiet", {}, "A machine that has one offers itself as a worker of this room. It opens nothing else."),
    list);
  const look = live(list, "tokens", () => get(path`rooms/${about.room_id}/tokens`, { signal }), (tokens) => tokens.length
    ? table("Worker tokens", COLUMNS, tokens.toReversed().map((token) => cells(token, about.room_id, () => look())))
    : empty("There is no token yet. A worker needs one to enter this room."), { ms: EVERY_MS, signal });
}
