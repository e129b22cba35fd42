// The page: who is logged in, what stands on top, and which view is shown.

import { get, onLoggedOut, post } from "./api.js";
import { h, replace } from "./dom.js";
import { link, startRouter } from "./router.js";
import { change, current, listen } from "./store.js";
import { problem } from "./ui.js";
import { alone } from "./views/room/alone.js";
import * as job from "./views/room/job.js";
import * as jobs from "./views/room/jobs.js";
import * as newJob from "./views/room/new_job.js";
import * as rooms from "./views/rooms.js";

const ROUTES = [
  ["rooms", rooms],
  ["rooms/:room/jobs", alone("Jobs", jobs.mount)],
  ["rooms/:room/jobs/new", newJob],
  ["rooms/:room/jobs/:job", job],
];
const PLACES = [["rooms", "Rooms"]];
const PAGE = new URL("page.json", document.baseURI);
const KEPT = "sleap-rtc:place";

async function start() {
  const main = document.getElementById("main");
  onLoggedOut.call = logInAgain;
  try {
    const [page, me] = await Promise.all([get("page.json", { base: PAGE }), get("me")]);
    change({ page, me });
  } catch (error) {
    replace(main, problem(error));
    return;
  }
  comeBack();
  listen(showTop);
  startRouter(ROUTES, main, showTop);
}

function showTop() {
  const here = location.hash.split("/")[1] || "rooms";
  const { me, page } = current();
  const places = PLACES.map(([name, label]) =>
    h("a", { href: link(name), "aria-current": here === name ? "page" : null }, label),
  );
  replace(
    document.getElementById("top"),
    h("a.brand", { href: link("rooms") }, "sleap-rtc"),
    h("nav", { "aria-label": "Main" }, places),
    h("div.account", {}, h("bdi", {}, me.name), page.kind === "service" && signOut()),
  );
}

function signOut() {
  return h("button.link", { type: "button", onclick: leave }, "Sign out");
}

async function leave() {
  await post("auth/logout").catch(() => {});
  location.assign(new URL("../login", document.baseURI));
}

// the address behind the # does not survive the login page: it is kept here meanwhile, for this tab alone
function logInAgain() {
  if (current().page?.kind === "loopback") return;
  sessionStorage.setItem(KEPT, location.hash);
  location.assign(new URL("../login?return_to=/dashboard/", document.baseURI));
}

function comeBack() {
  const place = sessionStorage.getItem(KEPT);
  sessionStorage.removeItem(KEPT);
  if (place && !location.hash) history.replaceState(null, "", place);
}

start();
