// Your rooms: what there is, and a new one.

import { get, post } from "../api.js";
import { h, replace } from "../dom.js";
import { poll } from "../poll.js";
import { go, link } from "../router.js";
import { change, current } from "../store.js";
import { ask, badge, button, empty, field, loading, problem, select, when } from "../ui.js";

const EVERY_MS = 10_000;
const LIVES = [[1, "1 day"], [7, "7 days"], [30, "30 days"], [90, "90 days"], ["", "Never expires"]];

export const title = () => "Rooms";

/** Show the list, and keep it fresh. */
export function mount(root, _params, signal) {
  const heading = h("h1", {}, "Your rooms");
  const list = h("div", {}, loading("rooms"));
  root.append(h("div.head", {}, heading, button("Create a room", create)), list);
  poll(async () => {
    try {
      change({ rooms: await get("rooms", { signal }) });
      const { rooms } = current();
      heading.textContent = `Your rooms (${rooms.length})`;
      replace(list, rooms.length ? table(rooms) : nothing());
    } catch (error) {
      if (!signal.aborted) replace(list, problem(error));
    }
  }, EVERY_MS, signal);
}

const nothing = () => empty("You belong to no room yet. Create one, or join one with an invite code.");

function table(rooms) {
  return h("table", {},
    h("thead", {}, h("tr", {}, ["Room", "Role", "Workers online", "Members", "Expires"].map((name) =>
      h("th", { scope: "col" }, name)))),
    h("tbody", {}, rooms.map(row)));
}

function row(room) {
  return h("tr", {},
    h("th", { scope: "row" }, h("a", { href: link("rooms", room.room_id) }, h("bdi", {}, room.name))),
    h("td", {}, badge(room.role)),
    h("td", {}, room.workers_online),
    h("td", {}, room.members),
    h("td", {}, when(room.expires_at), room.expires_soon && badge("soon", "warn")));
}

function create() {
  ask("Create a room", [
    field("Name", h("input", { id: "room-name", name: "name", required: true, maxlength: 64, autocomplete: "off" })),
    field("Expires after", select("room-life", LIVES, 30, { name: "days" }), "It can be extended at any time."),
  ], "Create", async (form) => {
    const days = form.get("days");
    const made = await post("rooms", { name: form.get("name"), expires_days: days ? Number(days) : null });
    go("rooms", made.room_id);
  });
}
