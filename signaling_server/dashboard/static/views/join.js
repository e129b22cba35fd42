// Join a room, with a code that is typed or with a link. What the link brings is taken out of the address at once.

import { post } from "../api.js";
import { h, replace } from "../dom.js";
import { go, link } from "../router.js";
import { current } from "../store.js";
import { button, field, name, problem, toast } from "../ui.js";

// an invite outlives the login page in this tab, and nothing else
const KEPT = "sleap-rtc:invite";

export const title = () => "Join a room";

/** Ask for the code, or whether to take the link's. */
export function mount(root, { invite }, signal) {
  if (invite) {
    sessionStorage.setItem(KEPT, invite);
    history.replaceState(null, "", link("join"));
  }
  const kept = sessionStorage.getItem(KEPT);
  signal.addEventListener("abort", () => sessionStorage.removeItem(KEPT));
  const trouble = h("div", {});
  const card = h("div.card.narrow", {});
  const join = async (code, send) => {
    send.disabled = true;
    try {
      const joined = await post("invites/redeem", { code });
      toast(joined.joined ? "You are a member now." : "You belong to this room already.");
      go("rooms", joined.room_id);
    } catch (error) {
      if (!signal.aborted) replace(trouble, problem(error));
      // what is no good is not asked for again; what could not be asked is
      if (!error.passing && error.status !== 401) sessionStorage.removeItem(KEPT);
    } finally {
      send.disabled = false;
    }
  };
  root.append(h("h1", {}, "Join a room"), card);
  if (kept) replace(card, invited(kept, join, () => replace(card, typed(join), trouble)), trouble);
  else replace(card, typed(join), trouble);
}

function invited(code, join, other) {
  const send = button("Join", () => join(code, send));
  return [
    h("p", {}, "Somebody sent you the invite ", h("code", {}, `${code.slice(0, 8)}…`), ". You join as ", h("strong", {}, name(current().me.name)),
      ": the room's members then see your name, and you see its workers."),
    h("p.hint", {}, "Join only if you expected this invite."),
    h("div.actions.left", {}, send, button("Type a code instead", () => {
      sessionStorage.removeItem(KEPT);
      other();
    }, { class: "plain" })),
  ];
}

function typed(join) {
  const input = h("input.code", { id: "code", name: "code", required: true, maxlength: 256, autocomplete: "off", autocapitalize: "characters",
    spellcheck: "false", placeholder: "XXXXX-XXXXX" });
  const send = h("button", {}, "Join");
  return h("form", { onsubmit: (event) => {
    event.preventDefault();
    // whoever was sent the link may paste all of it
    join(input.value.trim().split("/").pop(), send);
  } },
  field("Invite code", input, "Ten characters. Upper and lower case, dashes and spaces make no difference."),
  h("div.actions.left", {}, send, h("a.button.plain", { href: link("rooms") }, "Back")));
}
