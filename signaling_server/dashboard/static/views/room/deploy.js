// "Deploy a worker": what to type where the GPU is, with the service and the token filled in.

import { TOKEN, docker, onlyHere, ssh, systemd } from "../../commands.js";
import { h, replace } from "../../dom.js";
import { link } from "../../router.js";
import { current } from "../../store.js";
import { tokenOf } from "../../made_tokens.js";
import { button, copyable } from "../../ui.js";
import { createToken } from "../token_dialogs.js";

/**
 * The section about it.
 *
 * @param {object} room the room as the service describes it to who asks.
 * @returns {HTMLElement}
 */
export function deploy(room) {
  const section = h("section.card.deploy", {});
  const open = new Set(["On a machine that you reach by SSH"]);
  const show = () => {
    const token = tokenOf(room.room_id);
    const { server } = current().page;
    replace(section,
      h("h2", {}, "Deploy a worker"),
      h("p", {}, "A worker connects outwards, to this service and to its clients: it needs no open port. It needs Python 3.11 or newer, and the " +
        "driver of its GPU; without a GPU it trains on the processor."),
      onlyHere(server) && h("p.notice", {}, "This service listens on one machine alone: the worker has to run there, too."),
      about(room, token, show),
      way("On a machine that you reach by SSH", overSsh(ssh(server, token)), open),
      way("As a systemd service, which starts by itself", asUnit(systemd(server, token)), open),
      way("In a container, with Docker", inDocker(docker(server, token)), open));
  };
  show();
  return section;
}

function about(room, token, again) {
  if (token) return h("p", {}, "The token that you have just made stands in the lines below. They are as secret as it is.");
  if (room.role !== "owner") return h("p", {}, "Where it says ", h("code", {}, TOKEN), ", put a token: only the owner of the room can make one. Ask them.");
  return h("div", {},
    h("p", {}, "Where it says ", h("code", {}, TOKEN), ", put a ", h("a", { href: link("rooms", room.room_id, "tokens") }, "token of this room"),
      ", or make one here, which is then filled in:"),
    h("div.actions.left", {}, button("Create a token", () => createToken(room.room_id, async () => again()), { "data-key": "create" })));
}

// it stays open, or closed, when it is drawn again with a token in it
function way(label, content, open) {
  const toggled = (event) => (event.target.open ? open.add(label) : open.delete(label));
  return h("details", { open: open.has(label), ontoggle: toggled }, h("summary", {}, label), h("div", {}, content));
}

const step = (words, text) => [h("p", {}, words), copyable(text)];

const overSsh = ({ reach, install, run }) => [
  step("From your machine, to the one with the GPU:", reach),
  step("There, once:", install),
  step("There, to start it. Inside tmux or screen it goes on when you log out:", run),
];

const asUnit = ({ install, variables, unit, run }) => [
  step("Once, on a machine with Debian or Ubuntu. With bubblewrap its jobs run in a sandbox:", install),
  step("What the worker is told, in a file for root's eyes alone:", variables),
  step("The unit. With KillMode=process a training goes on when the worker is restarted or upgraded:", unit),
  step("Start it, and see what it says:", run),
];

const inDocker = ({ build, variables, run, logs }) => [
  step("In a clone of the sleap-rtc repository, on a machine with Docker and the NVIDIA Container Toolkit:", build),
  step("What the worker is told:", variables),
  step("Start it. The volume keeps it the same worker; asked to stop, it waits for its jobs. Without a GPU, leave out --gpus all:", run),
  step("See what it says:", logs),
];

