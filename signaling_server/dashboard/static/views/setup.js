// From nothing to the first training: five steps, with one's own room and token in the commands.

import { get } from "../api.js";
import { TOKEN, command, configuration, workerLine, workerVariable } from "../commands.js";
import { h, keepingFocus, replace } from "../dom.js";
import { tokenOf } from "../made_tokens.js";
import { link } from "../router.js";
import { change, current } from "../store.js";
import { button, copyable, field, loading, name, problem, select } from "../ui.js";
import { createRoom } from "./rooms.js";
import { explained } from "./setup_text.js";
import { createToken } from "./token_dialogs.js";

const ROOM = "YOUR_ROOM";

export const title = () => "Setup";

/** Show the steps for one of one's rooms, and what there is to know. */
export async function mount(root, _params, signal) {
  const body = h("div", {}, loading("your rooms"));
  root.append(h("h1", {}, "Set up in five steps"),
    h("p.lead", {}, "You label animals on your own machine; the GPU stands somewhere else. After these steps it trains for you as if it were in your laptop."),
    body);
  try {
    change({ rooms: await get("rooms", { signal }) });
  } catch (error) {
    if (signal.aborted) return;
    // what was known before is good enough for commands to copy
    if (!error.passing || !current().rooms) {
      replace(body, problem(error));
      return;
    }
  }
  new Setup(body).show();
}

class Setup {
  constructor(body) {
    this.body = body;
    const { rooms } = current();
    this.room = rooms.find((room) => room.role === "owner") ?? rooms[0] ?? null;
  }

  show() {
    const { server } = current().page;
    const id = this.room?.room_id ?? ROOM;
    replace(this.body, this.chooser(), h("ol.steps", {},
      this.create(server), this.secret(server, id), this.token(server, id), this.worker(server, id), this.submit(server, id)),
    this.file(server, id), explained(server, id));
  }

  chooser() {
    const { rooms } = current();
    if (!rooms.length) return null;
    const options = rooms.map((room) => [room.room_id, room.name]);
    return h("div.card", {}, field("Your room in the commands below", select("setup-room", options, this.room.room_id, {
      "data-key": "setup-room",
      onchange: (event) => {
        this.room = rooms.find((room) => room.room_id === event.target.value);
        this.again();
      },
    })));
  }

  again() {
    keepingFocus(this.body, () => this.show());
  }

  create(server) {
    const make = () => createRoom(async (room) => {
      change({ rooms: [...current().rooms, room] });
      this.room = room;
      this.again();
    });
    return step("Create a room", "A room is where your workers and the people who may train on them meet.",
      this.room
        ? h("p.done", {}, "You have one: ", h("a", { href: link("rooms", this.room.room_id) }, name(this.room.name)), ".")
        : h("p", {}, "You have none yet. Make one here:"),
      h("div.actions.left", {}, button(this.room ? "Create another room" : "Create a room", make, { class: this.room ? "plain" : "", "data-key": "make-room" })),
      h("p", {}, "In a terminal, log in first:"), copyable(command("login", [], server)), copyable(command("room create", ["--name", "My lab"], server)),
      h("p.hint", {}, "It ends after 30 days unless you extend it; with ", h("code", {}, "--expires never"), " it does not end."));
  }

  secret(server, id) {
    return step(["Generate a room secret ", h("span.badge", {}, "optional")],
      "With a secret, members and workers trust nobody who does not have it, this service included.",
      h("p", {}, "Make it on your machine. It is shown this once:"), copyable(command("room create-secret", [id], server)),
      h("p", {}, "Give it to every other machine, of members and of workers, which asks you for it:"), copyable(command("room set-secret", [id], server)),
      this.room && h("p", {}, h("a", { href: link("rooms", id, "secret") }, "More about the secret")));
  }

  token(server, id) {
    const token = this.room && tokenOf(id);
    const make = () => createToken(id, async () => this.again());
    return step("Create a worker token", "It is the key with which a machine offers itself as a worker of this room, and opens nothing else. It ends after 7 days unless you say otherwise.",
      token && h("p.done", {}, "You have just made one. It stands in the commands below until you close or reload this page."),
      this.room?.role === "owner" && h("div.actions.left", {}, button(token ? "Create another token" : "Create a token", make, { class: token ? "plain" : "", "data-key": "make-token" })),
      this.room?.role === "member" && h("p", {}, "You are a member of this room: ask its owner for a token."),
      copyable(command("token create", ["--room", id, "--name", "lab-gpu-1"], server)));
  }

  worker(server, id) {
    const token = (this.room && tokenOf(id)) || TOKEN;
    return step("Start a worker on the machine with the GPU", ["Log in to that machine, install with ", h("code", {}, "pip install sleap-rtc"), ", and start it:"],
      copyable(workerVariable(server, token)),
      h("p", {}, "Or, on a machine that only you use (others there could read the token in its list of processes), and with a name of its own:"),
      copyable(workerLine(server, token)), copyable(`${workerLine(server, token)} --name lab-gpu-1`),
      h("p", {}, "In a room with a secret, for a try on a machine that does not keep it:"),
      copyable(`${workerLine(server, token)} --room-secret YOUR_SECRET`),
      this.room && h("p", {}, "To let it run for good: ", h("a", { href: link("rooms", id, "workers") }, "as a service or in a container"), ". It shows up there as soon as it runs."));
  }

  submit(server, id) {
    return step("Submit a training job", ["In SLEAP, choose ", h("em", {}, "Predict, Run training, Export training job package"), "."],
      this.room && [h("p", {}, "Drop the package on a page here, and watch it train:"),
        h("div.actions.left", {}, h("a.button", { href: link("rooms", id, "jobs", "new") }, "New job"))],
      h("p", {}, this.room ? "Or, in a terminal on your machine:" : "Then, in a terminal on your machine:"),
      copyable(command("train", ["--room", id, "--auto-select", "--pkg-path", "training.zip"], server)),
      h("p", {}, "To choose the worker yourself, from a list:"),
      copyable(command("train", ["--room", id, "--pkg-path", "training.zip"], server)),
      h("p", {}, "With the session string of a worker, without a room and without an account:"),
      copyable("sleap-rtc train --session-string SESSION_STRING --pkg-path training.zip"),
      h("p", {}, "The job goes on when you close the terminal. Type the same command again to watch on; the models come home when it is done."));
  }

  file(server, id) {
    const token = this.room && tokenOf(id);
    return h("section.card", {}, h("h2", {}, "The configuration file"),
      h("p", {}, "What you would type every time can stand in ", h("code", {}, "sleap-rtc.toml"), ", in your home or in the folder of a project:"),
      token && h("p.hint", {}, "A token stands in it: let nobody else read the file, with ", h("code", {}, "chmod 600 sleap-rtc.toml"), "."),
      copyable(configuration(server, id, token)),
      h("p", {}, "Then these need no options. The first starts a worker, the second trains in that room, on the best worker:"),
      copyable("sleap-rtc worker"), copyable("sleap-rtc train --pkg-path training.zip"));
  }
}

const step = (heading, words, ...content) => h("li.card", {}, h("h2", {}, heading), h("p", {}, words), content);
