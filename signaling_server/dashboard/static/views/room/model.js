// One model of a room: its versions and aliases, some of them side by side, and what they came from.

import { get, path } from "../../api.js";
import { command } from "../../commands.js";
import { h, replace } from "../../dom.js";
import { live } from "../../live.js";
import { go, link } from "../../router.js";
import { current } from "../../store.js";
import { badge, button, copyable, name, table, when } from "../../ui.js";
import { deleteVersion, moveAlias, pullButtons, removeAlias } from "./model_acts.js";
import { comparison, origins } from "./model_parts.js";
import { allModels, holdersText, lossText, mayDelete, typesText } from "./model_words.js";

const EVERY_MS = 5_000;
const HEADS = ["Version", "Aliases", "Loss", "Kept by workers", "Made", "Compare", ""];

export const title = ({ name: text }) => text;

/** Show the model, and keep it fresh. */
export function mount(root, { room, about, name: text }, signal) {
  const parts = { room, about, text, signal, chosen: new Set(), place: h("div", {}), compared: h("div", {}) };
  const body = h("div", {});
  root.append(
    h("p.crumb", {}, h("a", { href: link("rooms", room, "models") }, "All models")),
    h("div.head", {}, h("h2", {}, name(text))), parts.place, body);
  const load = async () => {
    const [line, models] = await Promise.all([get(path`rooms/${room}/models/${text}`, { signal }), allModels(room, signal)]);
    return { line, models };
  };
  const look = live(body, "the model", load, (loaded) => shown(loaded, { ...parts, done: () => look() }), { ms: EVERY_MS, signal });
}

function shown({ line, models }, parts) {
  const { room, text, done, compared } = parts;
  const versions = line.versions.flatMap((model) => model.names
    .filter((each) => each.name === text).map((each) => ({ ...each, ref: `${text}@${each.version}`, model })));
  versions.sort((one, other) => other.version - one.version);
  const numbers = versions.map((each) => each.version);
  const show = () => {
    const chosen = versions.filter((each) => parts.chosen.has(each.version)).reverse();
    replace(compared, chosen.length > 1 ? comparison(room, chosen) : h("p.hint", {}, "Tick two or more versions to see them side by side."));
  };
  show();
  return [
    table(`Versions of ${text}`, HEADS, versions.map((each) => row(each, { ...parts, last: versions.length === 1 }, show))),
    h("div.actions.left", {}, button("Move an alias", () => moveAlias(room, text, numbers, line.aliases, done), { class: "plain", "data-key": "move" })),
    compared, origins(room, models, versions),
    h("section.card", { "aria-labelledby": "cli-head" }, h("h3", { id: "cli-head" }, "On a terminal"),
      copyable(command("models pull", [versions[0].ref, "--room", room], current().page.server))),
  ];
}

function row(version, { room, about, text, signal, place, chosen, done, last }, show) {
  const { ref, model, aliases } = version;
  const gone = () => (last ? go("rooms", room, "models") : done());
  const tick = h("input", { type: "checkbox", "aria-label": `Compare ${ref}`, checked: chosen.has(version.version),
    "data-key": `compare ${version.version}`, onchange: () => {
      if (tick.checked) chosen.add(version.version);
      else chosen.delete(version.version);
      show();
    } });
  return [
    [name(ref), h("div.hint", {}, name(typesText(model)))],
    aliases.map((alias) => h("span.alias", {}, badge(alias, "good"),
      button("×", () => removeAlias(room, text, alias, done), { class: "link", "aria-label": `Remove the alias ${alias}`, "data-key": `alias ${alias}` }))),
    lossText(model), holdersText(model),
    [when(version.created_at), " by ", name(version.created_by)],
    tick,
    h("div.actions", {}, pullButtons(room, model, place, signal),
      mayDelete(model, about, current().me) && button("Delete", () => deleteVersion(room, version, gone),
        { class: "plain small", "aria-label": `Delete ${ref}`, "data-key": `delete ${version.version}` })),
  ];
}
