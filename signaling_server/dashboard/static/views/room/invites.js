// Codes and links with which people join a room. The service shows each once, and keeps only what recognises it.

import { del, get, path, post } from "../../api.js";
import { command } from "../../commands.js";
import { h } from "../../dom.js";
import { live } from "../../live.js";
import { current } from "../../store.js";
import { ask, badge, button, confirm, copyable, count, empty, field, name, reveal, select, table, when } from "../../ui.js";

const EVERY_MS = 5_000;
const MOST_USES = 100;
const HOURS = [[1, "1 hour"], [24, "1 day"], [72, "3 days"], [168, "7 days"], [720, "30 days"]];
const KINDS = { open: "good", used: "", expired: "warn", revoked: "bad" };

export const title = () => "Invites";

/** Show the list, and keep it fresh. */
export function mount(root, { about }, signal) {
  const list = h("div", {});
  const invite = () => create(about, () => look());
  root.append(
    h("div.head", {}, h("h2", {}, "Invites"), button("Make an invite", invite, { "data-key": "invite" })),
    h("p.quiet", {}, "Who joins with an invite becomes a member: they see the room's workers and train on them."),
    list);
  const look = live(list, "invites", () => get(path`rooms/${about.room_id}/invites`, { signal }), (invites) =>
    invites.length ? listed(about, invites, () => look()) : empty("Nobody was invited yet."), { ms: EVERY_MS, signal });
}

const listed = (room, invites, changed) =>
  table("Invites", ["Code", "State", "Used", "Made", "Expires", ""], invites.toReversed().map((each) => [
    h("code", {}, each.display, "…"),
    badge(each.state, KINDS[each.state]),
    `${each.used} of ${each.uses}`,
    [when(each.created_at), " by ", name(each.created_by)],
    when(each.expires_at),
    each.state === "open" && button("Revoke", () => revoke(room, each, changed),
      { class: "plain small", "aria-label": `Revoke ${each.display}…`, "data-key": `revoke ${each.invite_id}` }),
  ]));

function create(room, changed) {
  ask("Make an invite", [
    field("For how many people", h("input", { id: "uses", name: "uses", type: "number", min: 1, max: MOST_USES, value: 1, required: true })),
    field("Good for", select("hours", HOURS, 24, { name: "hours" })),
  ], "Make it", async (form) => {
    const body = { uses: Number(form.get("uses")), expires_hours: Number(form.get("hours")) };
    const made = await post(path`rooms/${room.room_id}/invites`, body);
    await changed();
    return () => reveal("A new invite", shown(made));
  });
}

function shown(made) {
  const { server } = current().page;
  return [
    h("p", {}, `It is shown this once. It lets ${count(made.uses, "person", "people")} in, and expires `, when(made.expires_at), "."),
    h("h3", {}, "As a link"), copyable(`${server}/dashboard/#/join/${made.link_token}`),
    h("h3", {}, "As a code, to type on the page “Join with a code”"), copyable(made.code),
    h("h3", {}, "In a terminal"), copyable(command("room join", ["--code", made.code], server)),
    h("p.hint", {}, "Whoever has the link or the code can join: send it to the people meant, and to nobody else."),
  ];
}

function revoke(room, each, changed) {
  confirm(`Revoke the invite ${each.display}…?`, "Nobody can join with it any more. Who has joined with it stays.", "Revoke", async () => {
    await del(path`rooms/${room.room_id}/invites/${each.invite_id}`);
    await changed();
  });
}
