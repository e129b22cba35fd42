// What a room is, and what its owner does with the whole of it: another name, a later end, another owner, its end.

import { del, patch, path, post } from "../../api.js";
import { h } from "../../dom.js";
import { drawing } from "../../live.js";
import { go, link } from "../../router.js";
import { current, listen } from "../../store.js";
import { ask, button, confirm, copyable, count, facts, field, name, select, toast, when } from "../../ui.js";
import { LIVES, lifetime } from "../lists.js";

export const title = () => "Overview";

/** Show it, and what may be done. */
export function mount(root, { about, refresh }, signal) {
  const summary = h("section.card", {});
  const show = drawing(summary, (room) => [h("h2", {}, "This room"), shown(room)]);
  show(about);
  listen(({ room }) => room?.room_id === about.room_id && show(room), signal);
  const room = () => current().room ?? about;
  root.append(summary, about.role === "owner" ? owners(room, refresh) : members(room));
}

function shown(room) {
  const owner = room.people.find((person) => person.role === "owner");
  return [
    facts([
      ["Owner", name(owner?.name ?? "nobody")],
      ["Your role", room.role],
      ["Created", when(room.created_at)],
      ["Expires", when(room.expires_at)],
      ["Members", h("a", { href: link("rooms", room.room_id, "members") }, count(room.members, "person", "people"))],
      ["Workers online", h("a", { href: link("rooms", room.room_id, "workers") }, count(room.workers_online, "worker"))],
      ["Known here", `${count(room.jobs, "job")}, ${count(room.models, "model")}`],
    ]),
    h("div.actions.left", {}, next(room)),
    h("h3", {}, "Its id, for commands"), copyable(room.room_id),
  ];
}

function next(room) {
  const to = (tab, label, kind = "") => h("a.button", { href: link("rooms", room.room_id, ...tab), class: kind, "data-key": label }, label);
  const job = (kind) => to(["jobs", "new"], "New job", kind);
  return room.workers_online ? job() : [to(["workers"], "Start a worker"), room.jobs > 0 && job("plain")];
}

function owners(room, refresh) {
  return h("section.card", {}, h("h2", {}, "Manage the room"),
    h("div.actions.left", {},
      button("Rename", () => rename(room(), refresh), { class: "plain", "data-key": "rename" }),
      button("Extend", () => extend(room(), refresh), { class: "plain", "data-key": "extend" }),
      button("Hand over", () => transfer(room(), refresh), { class: "plain", "data-key": "transfer" }),
      button("Delete", () => remove(room()), { class: "danger", "data-key": "delete" })));
}

function members(room) {
  return h("section.card", {}, h("h2", {}, "Leave the room"),
    h("p", {}, "You see its workers no more then. Jobs that you sent run on to their end."),
    button("Leave", () => confirm("Leave this room?", "To come back you need an invite of its owner.", "Leave", async () => {
      await del(path`rooms/${room().room_id}/members/me`);
      toast("You left the room.");
      go("rooms");
    }), { class: "danger" }));
}

function rename(room, refresh) {
  const input = h("input", { id: "new-name", name: "name", required: true, maxlength: 64, autocomplete: "off", value: room.name });
  ask("Rename the room", [field("Name", input)], "Rename", async (form) => {
    await patch(path`rooms/${room.room_id}`, { name: form.get("name") });
    await refresh();
    toast("The room is renamed.");
  });
}

function extend(room, refresh) {
  ask("Extend the room", [
    h("p", {}, "It expires ", when(room.expires_at), "."),
    field("Let it live, from now on", select("extend-life", LIVES, 30, { name: "days" })),
  ], "Extend", async (form) => {
    await patch(path`rooms/${room.room_id}`, { expires_days: lifetime(form) });
    await refresh();
    toast("The room lives longer now.");
  });
}

function transfer(room, refresh) {
  const others = room.people.filter((person) => person.role !== "owner");
  if (!others.length) {
    toast("Nobody else belongs to this room. Invite somebody first.");
    return;
  }
  const options = others.map((person) => [person.user_id, `${person.name} (${person.user_id})`]);
  ask("Hand the room over", [
    h("p", {}, "The new owner manages the room from then on; you stay as a member, and only they can make you its owner again."),
    field("New owner", select("heir", options, null, { name: "user" })),
  ], "Hand over", async (form) => {
    await post(path`rooms/${room.room_id}/transfer`, { user_id: form.get("user") });
    await refresh();
    toast("The room is handed over. You are a member now.");
  }, { danger: true });
}

function remove(room) {
  ask("Delete this room?", [
    h("p", {}, "Everybody is disconnected at once. Its members, invites, tokens and names of models are forgotten, and nobody " +
      "can bring them back. Jobs that run go on to their end on their worker."),
    h("p", {}, "To be sure, type its name: ", h("strong", {}, name(room.name))),
    field("Name of the room", h("input", { id: "sure", name: "name", required: true, autocomplete: "off" }), "Its id will do as well."),
  ], "Delete for ever", async (form) => {
    if (![plain(room.name), room.room_id].includes(plain(form.get("name")))) throw new Error("This is not the name of the room. Nothing was deleted.");
    await del(path`rooms/${room.room_id}`);
    toast("The room is deleted.");
    go("rooms");
  }, { danger: true });
}

const plain = (text) => text.normalize("NFC").trim().replace(/\s+/g, " ");
