// What one can do with a model: give it a name, move an alias, delete it, download it.

import { del, path, post, put } from "../../api.js";
import { h, replace } from "../../dom.js";
import { meet } from "../../links.js";
import { ask, button, confirm, field, problem, select, toast } from "../../ui.js";
import { sizeText } from "../../words.js";
import { bringHome } from "./job_actions.js";
import { MODEL_NAME, called } from "./model_words.js";

const ALIAS = "[A-Za-z][A-Za-z0-9._\\-]{0,31}";

/** Give a model a name, or another one. */
export function register(room, model, done) {
  const input = h("input", { id: "model-name", name: "name", required: true, ...MODEL_NAME });
  ask("Give it a name", [
    field("Name", input, "It becomes the next version of this name: NAME@1 if there is none yet."),
  ], "Give it this name", async (form) => {
    const made = await post(path`rooms/${room}/models`, { name: form.get("name"), digest: model.digest });
    toast(`It is ${made.name}@${made.version} now.`);
    await done();
  });
}

/** Let an alias point to a version. `aliases` says where they point now. */
export function moveAlias(room, name, versions, aliases, done) {
  const input = h("input", { id: "alias", name: "alias", required: true, pattern: ALIAS, maxlength: 32, autocomplete: "off",
    list: "aliases", title: "A letter first, then letters, digits, dots, dashes and underscores." });
  ask("Move an alias", [
    field("Alias", input, "Such as production. Whoever asks for NAME@ALIAS gets the version that it points to."),
    h("datalist", { id: "aliases" }, Object.keys(aliases).map((each) => h("option", { value: each }))),
    field("Points to", select("alias-version", versions.map((each) => [each, `${name}@${each}`]), versions[0], { name: "version" })),
  ], "Move it", async (form) => {
    const alias = form.get("alias");
    const body = { version: Number(form.get("version")), expected: aliases[alias] ?? null };
    await put(path`rooms/${room}/models/${name}/aliases/${alias}`, body);
    await done();
  });
}

/** Take an alias away. */
export function removeAlias(room, name, alias, done) {
  confirm("Remove this alias?", h("span", {}, "Nothing will be called ", h("bdi", {}, `${name}@${alias}`), " any more. The version stays."),
    "Remove the alias", async () => {
      await del(path`rooms/${room}/models/${name}/aliases/${alias}`);
      await done();
    });
}

/** Delete a version of a name. */
export function deleteVersion(room, { name, version, model }, done) {
  const last = model.names.length === 1;
  confirm(h("span", {}, "Delete ", h("bdi", {}, `${name}@${version}`), "?"),
    last ? "It has no other name: the workers of this room remove its files. What was downloaded stays."
      : "The model keeps its other names.",
    "Delete", async () => {
      await del(path`rooms/${room}/models/${name}/versions/${version}`);
      await done();
    });
}

/** Delete a model that has no name. */
export function deleteUnnamed(room, model, done) {
  confirm(h("span", {}, "Delete ", h("bdi", {}, called(model)), "?"), "The workers of this room remove its files. What was downloaded stays.",
    "Delete", async () => {
      await del(path`rooms/${room}/models/digests/${model.digest}`);
      await done();
    });
}

/**
 * Buttons that bring a model here as one zip, one for each of its formats, from any worker that has it and is online.
 *
 * @param {string} room its id.
 * @param {object} model the model.
 * @param {HTMLElement} place where the download says how far it is.
 * @param {AbortSignal} signal ends it.
 */
export function pullButtons(room, model, place, signal) {
  return model.formats.map((format) => {
    const holder = model.holders.find((each) => each.online && each.formats.some((held) => held.format === format));
    const held = holder?.formats.find((each) => each.format === format);
    const words = model.formats.length > 1 ? `Download ${format}` : "Download";
    const pull = button(words, async () => {
      pull.disabled = true;
      try {
        const remote = await meet(room, holder.worker_id, signal);
        await bringHome(remote, `z_m_${held.digest}`, { button: pull, place, signal });
      } catch (error) {
        if (!signal.aborted) replace(place, problem(error));
        pull.disabled = false;
      }
    }, { class: "plain small", "aria-label": `${words} ${called(model)}`, disabled: !held,
      title: held ? sizeText(held.size) : "No worker that has it is online." });
    return pull;
  });
}
