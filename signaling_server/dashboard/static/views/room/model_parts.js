// Versions of a model side by side, and what each one came from.

import { h } from "../../dom.js";
import { link } from "../../router.js";
import { name, when } from "../../ui.js";
import { brief, sizeText } from "../../words.js";
import { called, changeText, holdersText, lineage, lossText, typesText } from "./model_words.js";

/**
 * Versions side by side; the first one is what the others are compared with.
 *
 * @param {string} room its id.
 * @param {Array<{ref: string, model: object}>} chosen at least two.
 */
export function comparison(room, chosen) {
  const [{ model: first }] = chosen;
  const losses = chosen.map(({ model }) => model.loss).filter((loss) => loss !== null);
  const best = losses.length > 1 ? Math.min(...losses) : null;
  const rows = [
    ["Loss", ({ loss }) => (loss !== null && loss === best ? h("b", {}, `${lossText({ loss })} (best)`) : lossText({ loss }))],
    ["Change", (model) => (model === first ? "" : changeText(model, first))],
    ["Types", (model) => name(typesText(model))],
    ["sleap-nn", (model) => model.sleap_nn && name(model.sleap_nn)],
    ["Size", (model) => sizeText(model.size)],
    ["Formats", (model) => model.formats.join(", ")],
    ["Made", (model) => when(model.created_at)],
    ["By", (model) => model.made_by && name(model.made_by)],
    ["Job", (model) => model.job_id && h("a", { href: link("rooms", room, "jobs", model.job_id) }, h("code", {}, brief(model.job_id)))],
    ["Kept by workers", holdersText],
    ["Digest", (model) => h("code", {}, model.digest.slice(0, 12))],
  ];
  return h("section.card", {},
    h("h3", { id: "compare-head" }, "Side by side"),
    h("div.scroll", { tabindex: "0", role: "region", "aria-labelledby": "compare-head" }, h("table.plain", {},
      h("thead", {}, h("tr", {}, h("td", {}), chosen.map(({ ref }) => h("th", { scope: "col" }, name(ref))))),
      h("tbody", {}, rows.map(([label, cell]) =>
        h("tr", {}, h("th", { scope: "row" }, label), chosen.map(({ model }) => h("td", {}, cell(model) || "–"))))))));
}

/** What versions came from, each with its loss and how much better it is than what its training began with. */
export function origins(room, models, versions) {
  const told = versions.filter(({ model }) => model.parent !== null);
  if (!told.length) return "";
  return h("section.card", { "aria-labelledby": "origin-head" },
    h("h3", { id: "origin-head" }, "Where they come from"),
    h("ul.bare", {}, told.map(({ ref, model }) => {
      const { chain, unknown } = lineage(models, model);
      return h("li", {}, h("ol.chain", { "aria-label": `Lineage of ${ref}` },
        chain.map((each, at) => h("li", {}, ancestor(room, at ? called(each) : ref, each, chain[at + 1]))),
        unknown && h("li.quiet", {}, h("code", {}, `${unknown.slice(0, 12)}…`), " (not in this room)")));
    })));
}

function ancestor(room, ref, model, parent) {
  const [named] = model.names;
  const change = changeText(model, parent);
  return [
    named ? h("a", { href: link("rooms", room, "models", named.name) }, name(ref)) : name(ref),
    model.loss !== null && [` · loss ${lossText(model)}`, change && ` (${change})`],
    model.made_by && [" · by ", name(model.made_by)],
  ];
}
