// Your rooms: what there is, and a new one.

import { get, post } from "../api.js";
import { h, replace } from "../dom.js";
import { live } from "../live.js";
import { go, link } from "../router.js";
import { change, current } from "../store.js";
import { ask, badge, button, empty, field, name, select, table, when } from "../ui.js";
import { LIVES, filterBox, lifetime } from "./lists.js";

const EVERY_MS = 10_000;

export const title = () => "Rooms";

/** Show the list, and keep it fresh. */
export function mount(root, _params, signal) {
  const heading = h("h1", {}, "Your rooms");
  const list = h("div", {});
  const box = filterBox("Find a room", () => replace(list, shown(current().rooms)));
  root.append(
    h("div.head", {}, heading, h("div.actions", {},
      h("a.button.plain", { href: link("join") }, "Join with a code"),
      button("Create a room", () => createRoom((room) => go("rooms", room.room_id))))),
    box.element, list);
  const shown = (rooms) => {
    heading.textContent = `Your rooms (${rooms.length})`;
    box.update(rooms.length);
    if (!rooms.length) return nothing();
    const found = rooms.filter((room) => box.matches(room.name, room.room_id));
    return found.length ? listed(found) : empty("No room of yours is called so.");
  };
  live(list, "rooms", async () => {
    change({ rooms: await get("rooms", { signal }) });
    return current().rooms;
  }, shown, { ms: EVERY_MS, signal });
}

/**
 * Ask for a new room, and make it.
 *
 * @param {function(object): void} then told the room that was made.
 */
export function createRoom(then) {
  ask("Create a room", [
    field("Name", h("input", { id: "room-name", name: "name", required: true, maxlength: 64, autocomplete: "off" }),
      "What its members will see, such as the name of your lab."),
    field("Expires after", select("room-life", LIVES, 30, { name: "days" }), "It can be extended at any time."),
  ], "Create", async (form) => {
    then(await post("rooms", { name: form.get("name"), expires_days: lifetime(form) }));
  });
}

const nothing = () => empty(
  "You belong to no room yet. Create one, or join one with an invite code.",
  h("p", {}, "New to this? ", h("a", { href: link("setup") }, "Five steps to the first training"), "."));

const listed = (rooms) => table("Your rooms", ["Room", "Role", "Workers online", "Members", "Expires"], rooms.map((room) => [
  h("a", { href: link("rooms", room.room_id), "data-key": room.room_id }, name(room.name)),
  badge(room.role, room.role === "owner" ? "good" : ""),
  badge(room.workers_online, room.workers_online ? "good" : ""),
  room.members,
  [when(room.expires_at), " ", room.expires_soon && badge("soon", "warn")],
]));
