// The models of a room: what it calls them, and those that have no name yet.

import { h } from "../../dom.js";
import { live } from "../../live.js";
import { link } from "../../router.js";
import { current } from "../../store.js";
import { badge, button, count, empty, name, table, when } from "../../ui.js";
import { deleteUnnamed, pullButtons, register } from "./model_acts.js";
import { allModels, byName, called, holdersText, lossText, mayDelete, typesText } from "./model_words.js";

const EVERY_MS = 5_000;
const NAMED = ["Model", "Versions", "Aliases", "Newest", "Loss", "Kept by workers", "Made"];
const UNNAMED = ["Model", "Types", "Loss", "Kept by workers", "Made", ""];
const NOTHING = "This room has no model yet. Every training that ends well leaves one here, with a name if the job asks for it.";

export const title = () => "Models";

/** Show the lists, and keep them fresh. */
export function mount(root, { room, about }, signal) {
  const place = h("div", {});
  const lists = h("div", {});
  root.append(h("div.head", {}, h("h2", {}, "Models")), place, lists);
  const look = live(lists, "models", () => allModels(room, signal), (models) => {
    if (!models.length) return empty(NOTHING);
    const [names, unnamed] = [byName(models), models.filter((each) => !each.names.length)];
    const parts = { room, about, place, signal, done: () => look() };
    return [
      names.length > 0 && table("Models", NAMED, names.map(([each, versions]) => namedRow(room, each, versions))),
      unnamed.length > 0 && [h("h3", {}, "Without a name"), table("Models without a name", UNNAMED, unnamed.map((each) => unnamedRow(each, parts)))],
    ].flat().filter(Boolean);
  }, { ms: EVERY_MS, signal });
}

function namedRow(room, text, versions) {
  const [{ version, model }] = versions;
  const aliases = versions.flatMap((each) => each.aliases.map((alias) => `${alias} → ${each.version}`));
  return [
    h("a", { href: link("rooms", room, "models", text), "data-key": `model ${text}` }, name(text)),
    count(versions.length, "version"),
    aliases.map((alias) => [badge(alias), " "]),
    [name(`${text}@${version}`), h("div.hint", {}, name(typesText(model)))],
    lossText(model), holdersText(model),
    [when(model.created_at), model.made_by && [" by ", name(model.made_by)]],
  ];
}

function unnamedRow(model, { room, about, place, signal, done }) {
  const ref = called(model);
  return [
    [name(ref), h("div.hint", {}, h("code", {}, model.digest.slice(0, 12)))],
    name(typesText(model)), lossText(model), holdersText(model),
    [when(model.created_at), model.made_by && [" by ", name(model.made_by)]],
    h("div.actions", {}, pullButtons(room, model, place, signal),
      button("Name it", () => register(room, model, done), { class: "plain small", "aria-label": `Give ${ref} a name`, "data-key": `name ${model.digest}` }),
      mayDelete(model, about, current().me) && button("Delete", () => deleteUnnamed(room, model, done),
        { class: "plain small", "aria-label": `Delete ${ref}`, "data-key": `delete ${model.digest}` })),
  ];
}
