// The page: who is logged in, what stands on top, and which view is shown.

import { get, onLoggedOut, onTrouble } from "./api.js";
import { replace } from "./dom.js";
import { startRouter } from "./router.js";
import { change, current } from "./store.js";
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
const PAGE = new URL("page.json", document.baseURI);
// the page for logging in leaves here what stood behind the # (signaling_server/pages/static/login.js)
const KEPT = "sleap-rtc:place";

async function start() {
  const main = document.getElementById("main");
  onLoggedOut.call = logInAgain;
  onTrouble.call = showTrouble;
  try {
    change({ page: await get("page.json", { base: PAGE }) });
    change({ me: await get("me") });
  } catch (error) {
    replace(main, problem(error));
    return;
  }
  comeBack();
  startRouter(ROUTES, main, buildTop(document.getElementById("top")));
}

// the address behind the # does not survive the login page: it is kept here meanwhile, for this tab alone
function logInAgain(sentence) {
  if (current().page?.kind === "loopback") {
    showTrouble(sentence);
    return;
  }
  sessionStorage.setItem(KEPT, location.hash);
  location.assign(new URL("../login?return_to=/dashboard/", document.baseURI));
}

function comeBack() {
  const place = sessionStorage.getItem(KEPT);
  sessionStorage.removeItem(KEPT);
  if (place && !location.hash) history.replaceState(null, "", place);
}

start();
