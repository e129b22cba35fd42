// What a room's secret is, and how to make one. The page that a service serves never asks for it (docs/security.md).

import { command } from "../../commands.js";
import { h } from "../../dom.js";
import { onThisMachine } from "../../local.js";
import { current } from "../../store.js";
import { copyable } from "../../ui.js";
import * as local from "./secret_local.js";

export const title = () => "Secret";

/** Explain it, with the commands of this room, or with what this machine has of it. */
export function mount(root, { about }, signal) {
  if (!onThisMachine()) {
    root.append(explained(hosted()), ...typed(about.room_id, current().page.server));
    return;
  }
  const here = h("div", {});
  root.append(here, explained(h("p", {}, "This page comes from your own machine, so it may use the secret. It gets keys that are made of it " +
    "for its links, and the secret itself only when it is new, to show it to you.")));
  local.mount(here, about, signal);
}

const explained = (where) => h("section.card", {}, h("h2", {}, "The room's secret"),
  h("p", {}, "Without more, the service is trusted to introduce the right people and workers to each other. A room secret takes that " +
    "trust away from it: a worker and a member then make a link only if both have the secret, and nothing of a job goes to anybody else, " +
    "whatever the service says."),
  h("p", {}, "It is optional. A room whose service your own lab runs may do well without. It is shared by all members and workers of the " +
    "room, in another way than through this service, and the service never sees it."),
  where);

const hosted = () => [
  h("p.notice", {}, "This page comes from the service, so it never asks for a secret; if a page like it does, do not type one. To use a " +
    "room with a secret in a browser, open the same page from your own machine:"),
  copyable(command("dashboard", [], current().page.server))];

const typed = (room, server) => [
  h("section.card", {}, h("h2", {}, "Make one"),
    h("p", {}, "On your machine. It is always made, never chosen, and shown this once:"),
    copyable(command("room create-secret", [room], server)),
    h("p", {}, "On every other machine, of members and of workers. The command asks for the secret without showing it:"),
    copyable(command("room set-secret", [room], server)),
    h("p", {}, "A worker in a container or under systemd takes it from the variable ", h("code", {}, "SLEAP_RTC_ROOM_SECRET"), ".")),
  h("section.card", {}, h("h2", {}, "Replace it"),
    h("p", {}, "Made again, a newer one takes its place; the old one is good for another day on each machine. After somebody was removed, " +
      "end the old one at once:"),
    copyable(command("room create-secret", [room, "--end-old"], server))),
];
