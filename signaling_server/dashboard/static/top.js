// The top of the page: where one can go, who one is, and whether the service can be reached.

import { onLoggedOut, post } from "./api.js";
import { h } from "./dom.js";
import { onThisMachine } from "./local.js";
import { link } from "./router.js";
import { current } from "./store.js";
import { badge, name, toast } from "./ui.js";

const PLACES = [["rooms", "Rooms"], ["tokens", "Tokens"], ["setup", "Setup"]];

/**
 * Build it, once.
 *
 * @param {HTMLElement} root the page's header.
 * @returns {function(string): void} told the path of each view that is shown.
 */
export function buildTop(root) {
  const links = PLACES.map(([place, label]) => [place, h("a", { href: link(place) }, label)]);
  const menu = account();
  root.replaceChildren(
    h("a.brand", { href: link("rooms") }, "sleap-rtc"),
    ...(onThisMachine() ? [badge("on this machine")] : []),
    h("nav", { "aria-label": "Main" }, links.map(([, each]) => each)),
    menu,
  );
  return (path) => {
    menu.open = false;
    const here = path.split("/")[0] || "rooms";
    for (const [place, each] of links) {
      if (place === here) each.setAttribute("aria-current", "page");
      else each.removeAttribute("aria-current");
    }
  };
}

/** Say what keeps the page from the service, or, with null, that nothing does any more. */
export function showTrouble(sentence) {
  const bar = document.getElementById("trouble");
  if (bar.textContent === (sentence ?? "")) return;
  bar.hidden = sentence === null;
  bar.textContent = sentence ?? "";
}

/** The attributes of a link to another page of the service: on loopback it is on another machine, so in a tab of its own. */
export const servicePage = (where) => (current().page.kind === "service"
  ? { href: `../${where}` }
  : { href: new URL(where, `${current().page.server}/`).href, target: "_blank", rel: "noopener noreferrer" });

function account() {
  const { me, page } = current();
  const hosted = page.kind === "service";
  const menu = h("details.menu", { onkeydown: (event) => event.key === "Escape" && close(menu) },
    h("summary", {}, name(me.name)),
    h("div", {},
      h("a", { href: link("devices") }, "Devices"),
      h("a", servicePage("device"), "Let a device in"),
      hosted && h("button.link", { type: "button", onclick: signOut }, "Sign out")));
  document.addEventListener("click", (event) => menu.contains(event.target) || menu.removeAttribute("open"));
  return menu;
}

function close(menu) {
  menu.open = false;
  menu.querySelector("summary").focus();
}

async function signOut() {
  const lead = onLoggedOut.call;
  // what the view in sight still asks shall not bring the next one here
  onLoggedOut.call = () => {};
  try {
    await post("auth/logout");
  } catch (error) {
    onLoggedOut.call = lead;
    if (error.status !== 401) return toast(`You are still signed in. ${error.message}`);
  }
  location.assign(new URL("../login", document.baseURI));
}
