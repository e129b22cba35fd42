// The page: who is logged in, what stands on top, and which view is shown.

import { get, onLoggedOut, onTrouble } from "./api.js";
import { h, replace } from "./dom.js";
import { onThisMachine } from "./local.js";
import { poll } from "./poll.js";
import { startRouter } from "./router.js";
import { change } from "./store.js";
import { buildTop, showTrouble } from "./top.js";
import { problem } from "./ui.js";
import * as devices from "./views/devices.js";
import * as join from "./views/join.js";
import { inRoom } from "./views/room.js";
import * as invites from "./views/room/invites.js";
import * as job from "./views/room/job.js";
import * as jobs from "./views/room/jobs.js";
import * as log from "./views/room/log.js";
import * as members from "./views/room/members.js";
import * as model from "./views/room/model.js";
import * as models from "./views/room/models.js";
import * as newJob from "./views/room/new_job.js";
import * as overview from "./views/room/overview.js";
import * as secret from "./views/room/secret.js";
import * as roomTokens from "./views/room/tokens.js";
import * as workers from "./views/room/workers.js";
import * as rooms from "./views/rooms.js";
import * as setup from "./views/setup.js";
import * as tokens from "./views/tokens.js";

const ROUTES = [
  ["rooms", rooms],
  ["rooms/:room", inRoom("overview", overview)],
  ["rooms/:room/overview", inRoom("overview", overview)],
  ["rooms/:room/jobs", inRoom("jobs", jobs)],
  ["rooms/:room/jobs/new", inRoom("jobs", newJob)],
  ["rooms/:room/jobs/:job", inRoom("jobs", job)],
  ["rooms/:room/models", inRoom("models", models)],
  ["rooms/:room/models/:name", inRoom("models", model)],
  ["rooms/:room/members", inRoom("members", members)],
  ["rooms/:room/workers", inRoom("workers", workers)],
  ["rooms/:room/invites", inRoom("invites", invites)],
  ["rooms/:room/tokens", inRoom("tokens", roomTokens)],
  ["rooms/:room/log", inRoom("log", log)],
  ["rooms/:room/secret", inRoom("secret", secret)],
  ["tokens", tokens],
  ["setup", setup],
  ["devices", devices],
  ["join", join],
  ["join/:invite", join],
];
const AGAIN_MS = 2_000;
const PAGE = new URL("page.json", document.baseURI);
// the page for logging in leaves here what stood behind the # (signaling_server/pages/static/login.js)
const KEPT = "sleap-rtc:place";

let started = false;
let waiting = null;

async function start() {
  const main = document.getElementById("main");
  onLoggedOut.call = logInAgain;
  onTrouble.call = showTrouble;
  try {
    change({ page: await get("page.json", { base: PAGE }) });
    change({ me: await get("me") });
  } catch (error) {
    if (waiting) say(main, h("p.quiet", { role: "status" }, "The page goes on as soon as this machine is logged in."));
    else say(main, problem(error));
    if (error.passing) setTimeout(start, AGAIN_MS);
    return;
  }
  comeBack();
  started = true;
  startRouter(ROUTES, main, buildTop(document.getElementById("top")));
}

function say(main, what) {
  // what was read out is not read out again
  if (main.textContent !== what.textContent) replace(main, what);
}

// the address behind the # does not survive the login page: it is kept here meanwhile, for this tab alone
function logInAgain(sentence) {
  if (onThisMachine()) {
    showTrouble(sentence);
    waitForLogin();
    return;
  }
  sessionStorage.setItem(KEPT, location.hash);
  location.assign(new URL("../login?return_to=/dashboard/", document.baseURI));
}

// somebody logs in on this machine, in a terminal; whatever the view had open belonged to the login before
function waitForLogin() {
  if (waiting) return;
  waiting = new AbortController();
  poll(async () => {
    try {
      await get("me");
    } catch {
      return; // the sentence is shown already
    }
    waiting.abort();
    waiting = null;
    if (started) dispatchEvent(new Event("hashchange"));
    else start();
  }, AGAIN_MS, waiting.signal);
}

function comeBack() {
  const place = sessionStorage.getItem(KEPT);
  sessionStorage.removeItem(KEPT);
  if (place && !location.hash) history.replaceState(null, "", place);
}

start();
