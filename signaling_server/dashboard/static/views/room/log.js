// What was done in a room, and by whom; for its owner.

import { get, path } from "../../api.js";
import { h, replace } from "../../dom.js";
import { button, empty, loading, name, problem, table, when } from "../../ui.js";

const WORDS = {
  room_created: "created the room",
  room_renamed: "renamed the room to",
  room_extended: "extended the room",
  room_transferred: "handed the room over to",
  member_joined: "joined",
  member_left: "left",
  member_removed: "removed",
  invite_made: "made the invite",
  invite_revoked: "revoked the invite",
  token_made: "made the token",
  token_rotated: "replaced the token",
  token_revoked: "revoked the token",
  model_registered: "named the model",
  model_promoted: "promoted the model",
  model_deleted: "deleted the model",
};
/** Where the subject is who acted, or the room in sight. */
const ALONE = new Set(["room_created", "room_extended", "member_joined", "member_left"]);

export const title = () => "Log";

/** Show the newest lines, and older ones when they are asked for. */
export function mount(root, { about }, signal) {
  const list = h("div", {});
  const more = h("div", {});
  let events = [];
  const load = async () => {
    replace(more, loading("the log"));
    const before = events.length ? `?before=${events.at(-1).event_id}` : "";
    try {
      const page = await get(path`rooms/${about.room_id}/log` + before, { signal });
      events = [...events, ...page.events];
      replace(list, events.length ? listed(events) : empty("Nothing was done here yet."));
      replace(more, page.more && button("Older", load, { class: "plain" }));
    } catch (error) {
      if (!signal.aborted) replace(more, problem(error), button("Try again", load, { class: "plain" }));
    }
  };
  const anew = () => {
    events = [];
    return load();
  };
  root.append(h("div.head", {}, h("h2", {}, "What was done"), button("Look again", anew, { class: "plain" })), list, more);
  load();
}

const listed = (events) => table("What was done", ["Who", "What", "When"], events.map((event) => [
  name(event.actor),
  [WORDS[event.action] ?? event.action.replaceAll("_", " "), !ALONE.has(event.action) && [" ", h("strong", {}, name(event.subject))],
    event.detail && h("div.hint", {}, name(event.detail))],
  when(event.at),
]));
