// A room's secret on a page on loopback: what this machine has of it, and a new one.

import { h, replace } from "../../dom.js";
import { makeSecret, standing } from "../../local.js";
import { ask, badge, button, copyable, loading, problem } from "../../ui.js";

/**
 * Show it.
 *
 * @param {HTMLElement} root what it stands in.
 * @param {{room_id: string, name: string}} room the room.
 * @param {AbortSignal} signal ends it.
 */
export function mount(root, room, signal) {
  const state = h("div", {}, loading("what this machine knows"));
  const shown = h("div", { role: "status" });
  const show = async () => {
    try {
      const known = await standing(room.room_id, signal);
      replace(state, described(known, () => generate(room, known, shown, show)));
    } catch (error) {
      if (!signal.aborted) replace(state, problem(error));
    }
  };
  replace(root, h("section.card", {}, h("h2", {}, "On this machine"), state, shown));
  show();
}

function described(known, make) {
  const has = known.here ? badge("has a secret", "good") : known.known ? badge("secret is missing here", "bad") : badge("no secret");
  return [
    h("p", {}, has),
    h("p", {}, known.words),
    known.here && h("p.quiet", {}, "Its public name, by which two machines can be compared: ", h("code", {}, known.ids[0])),
    known.warning && h("p.problem", {}, known.warning),
    !known.here && known.known && h("p", {}, "Ask for it in the room, and give it to this machine with ",
      h("code", {}, "sleap-rtc room set-secret"), ". If nobody has it any more, make a newer one."),
    button(known.known ? "Make a newer secret" : "Generate a secret", make),
  ];
}

function generate(room, known, shown, again) {
  const endOld = h("input", { type: "checkbox", name: "end" });
  ask(known.known ? "Make a newer secret" : "Generate a secret", [
    h("p", {}, "It is made on this machine and kept here. It never goes to the service. From then on this machine makes " +
      "no link in the room without it, so all members and workers need it, too: you pass it on yourself."),
    known.here && h("p", {}, "The secret of now is good for a day more, so that everybody can get the new one meanwhile."),
    known.here && h("p", {}, h("label.check", {}, endOld, h("span", {}, "End the old one at once, because somebody has left or has seen it"))),
  ], "Generate", async (form) => {
    const made = await makeSecret(room.room_id, room.name, form.has("end"));
    replace(shown, revealed(made));
    again();
  });
}

function revealed(made) {
  return h("div", {},
    h("h3", {}, "The new secret"),
    h("p", {}, "It is shown this once. Copy it now, and give it to the room's members and workers: in person, with a password " +
      "manager, or in a message that you trust, but not by way of the service."),
    copyable(made.secret, "Copy the secret"),
    h("p", {}, "Each of them types this once on their machine, and pastes the secret when it is asked for. The machines of " +
      "workers need it as well:"),
    copyable(made.command),
    h("p", {}, "Where a worker is started by a script, the environment can hold it:"),
    copyable(made.export.join("\n")),
    h("p.quiet", {}, `It is kept in ${made.place}. ${made.old} ${made.note}`));
}
