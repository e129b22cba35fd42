// Where one is logged in: the browsers and command lines of this user.

import { del, get, path } from "../api.js";
import { h } from "../dom.js";
import { live } from "../live.js";
import { servicePage } from "../top.js";
import { badge, button, confirm, name, table, toast, when } from "../ui.js";

const EVERY_MS = 10_000;
const KINDS = { device: "command line", browser: "browser", dev: "by name alone" };

export const title = () => "Devices";

/** Show the list, and keep it fresh. */
export function mount(root, _params, signal) {
  const list = h("div", {});
  let others = [];
  const all = button("Sign out everywhere else", () => endAll(others, look), { class: "danger", hidden: true, "data-key": "all" });
  root.append(
    h("div.head", {}, h("h1", {}, "Devices"), all),
    h("section.card", {}, h("h2", {}, "Let a device in"),
      h("p", {}, "Type ", h("code", {}, "sleap-rtc login"), " in a terminal of that device. It shows a code, which you type on the next page. Let in only " +
        "what you have just started yourself: whoever sends you a code wants to be you."),
      h("a.button", servicePage("device"), "Type the code")),
    h("h2", {}, "Where you are signed in"), list);
  const look = live(list, "devices", () => get("me/logins", { signal }), (logins) => {
    others = logins.filter((login) => !login.current);
    all.hidden = !others.length;
    return table("Where you are signed in", ["Device", "Kind", "Address", "Since", "Last used", ""], logins.map((login) => row(login, () => look())));
  }, { ms: EVERY_MS, signal });
}

const row = (login, changed) => [
  [name(login.device || "unnamed"), login.current && [" ", badge("this one", "good")]],
  KINDS[login.kind],
  login.address,
  when(login.created_at),
  when(login.last_used_at, "not yet"),
  login.current ? "" : button("Sign out", () => end(login, changed),
    { class: "plain small", "aria-label": `Sign out ${login.device || "unnamed"}`, "data-key": login.login_id }),
];

function end(login, changed) {
  confirm(["Sign out ", name(login.device || "this device"), "?"], "Its connections are closed, and it has to log in again. Jobs that run " +
    "go on to their end.", "Sign out", async () => {
    await del(path`me/logins/${login.login_id}`);
    await changed();
  });
}

function endAll(others, changed) {
  confirm("Sign out everywhere else?", "Every other browser and command line of yours has to log in again.", "Sign out", async () => {
    for (const login of others) {
      await del(path`me/logins/${login.login_id}`).catch((error) => {
        if (error.status !== 404) throw error;
      });
    }
    await changed();
    toast("You are signed in only here now.");
  });
}
