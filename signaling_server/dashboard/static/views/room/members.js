// Who belongs to a room; its owner can send them away.

import { del, get, path } from "../../api.js";
import { command } from "../../commands.js";
import { h } from "../../dom.js";
import { live } from "../../live.js";
import { link } from "../../router.js";
import { current } from "../../store.js";
import { ask, badge, button, copyable, count, name, reveal, table, when } from "../../ui.js";

const EVERY_MS = 5_000;

export const title = () => "Members";

/** Show the list, and keep it fresh. */
export function mount(root, { about, refresh }, signal) {
  const list = h("div", {});
  const owner = about.role === "owner";
  root.append(
    h("div.head", {}, h("h2", {}, "Members"), owner && h("a.button", { href: link("rooms", about.room_id, "invites") }, "Invite somebody")),
    list);
  const look = live(list, "members", () => get(path`rooms/${about.room_id}/members`, { signal }), (members) => {
    const removed = async () => { await Promise.all([look(), refresh()]); };
    return table("Members", owner ? ["Name", "Role", "Joined", ""] : ["Name", "Role", "Joined"],
      members.map((member) => row(member, owner, about, removed)));
  }, { ms: EVERY_MS, signal });
}

function row(member, owner, room, removed) {
  const you = member.user_id === current().me.user_id;
  const cells = [
    [name(member.name), you && " (you)", h("div.hint", {}, member.user_id)],
    badge(member.role, member.role === "owner" ? "good" : ""),
    when(member.joined_at),
  ];
  if (!owner) return cells;
  const remove = () => removeMember(room, member, removed);
  const key = `remove ${member.user_id}`;
  return [...cells, you ? "" : button("Remove", remove, { class: "plain small", "aria-label": `Remove ${member.name}`, "data-key": key })];
}

function removeMember(room, member, removed) {
  ask(["Remove ", name(member.name), "?"], [
    h("p", {}, "They are disconnected at once, from their links to workers, too. Jobs that they sent run on to their end."),
    h("p", {}, "Every open invite of this room ends as well, so that nobody comes back with a code that went around. Worker tokens " +
      "stay as they are, also those that they made if they owned the room once."),
  ], "Remove", async () => {
    const outcome = await del(path`rooms/${room.room_id}/members/${member.user_id}`);
    await removed();
    return () => reveal([name(member.name), " is removed"], afterwards(room, outcome));
  }, { danger: true });
}

function afterwards(room, { invites_revoked: invites, tokens_left: tokens }) {
  return [
    h("p", {}, invites ? `${count(invites, "open invite")} ended with it. ` : "There was no open invite that had to end. ",
      h("a", { href: link("rooms", room.room_id, "invites") }, "Make a new invite"), " for whoever is still to come."),
    tokens > 0 && h("p.notice", {}, `They made ${count(tokens, "worker token")} of this room that can be used still. `,
      h("a", { href: link("rooms", room.room_id, "tokens") }, "Revoke or rotate them"), "."),
    h("p", {}, "If the room has a secret, they know it. Make another one, which ends the old one at once, and give it to everybody else:"),
    copyable(command("room create-secret", [room.room_id, "--end-old"], current().page.server)),
  ];
}
