// Models of a room: how they are called, grouped and told of, in words that both views of them share.

import { get, path } from "../../api.js";
import { valueText } from "../../words.js";

const PAGE = 200;
const MOST_PAGES = 20;
const MOST_ANCESTORS = 100;

/** The attributes of a field for a model's name. */
export const MODEL_NAME = {
  pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]{0,63}", maxlength: 64, autocomplete: "off",
  title: "Letters, digits, dots, dashes and underscores; the first one a letter or a digit.",
};

/** All models of a room, the newest first. */
export async function allModels(room, signal) {
  const found = [];
  let before = null;
  for (let page = 0; page < MOST_PAGES; page += 1) {
    const query = new URLSearchParams({ limit: PAGE });
    if (before) query.set("before", before);
    const { models, next } = await get(`${path`rooms/${room}/models`}?${query}`, { signal });
    found.push(...models);
    if (!next) break;
    before = next;
  }
  return found;
}

/** What to call a model: its newest name, else the runs that made it, else the beginning of its digest. */
export function called(model) {
  const [named] = model.names;
  return named ? `${named.name}@${named.version}` : model.title || `${model.digest.slice(0, 12)}…`;
}

/** What its parts are: "centroid + centered_instance". */
export const typesText = (model) => model.types.join(" + ") || model.title;

/** Its best validation loss; nothing where nobody measured it. */
export const lossText = (model) => (model.loss === null ? "" : valueText(model.loss));

/** How many of the workers that have it are online. */
export const holdersText = ({ holders }) => `${holders.filter((each) => each.online).length} of ${holders.length} online`;

/** Names with what is under them: `[name, [{version, aliases, model}, …]]`, the newest version first. */
export function byName(models) {
  const names = new Map();
  for (const model of models) {
    for (const named of model.names) names.set(named.name, [...(names.get(named.name) ?? []), { ...named, model }]);
  }
  for (const versions of names.values()) versions.sort((one, other) => other.version - one.version);
  return [...names];
}

/**
 * What a model came from, as far as the room knows it.
 *
 * @returns {{chain: object[], unknown: ?string}} the model, what its training began with, and so on; the digest at which
 *   the chain leaves the room.
 */
export function lineage(models, model) {
  const known = new Map(models.map((each) => [each.digest, each]));
  const chain = [model];
  for (let parent = model.parent; parent !== null; parent = chain.at(-1).parent) {
    // what workers tell is not believed to end: a circle, or a chain without end, is cut
    const next = known.get(parent);
    if (!next || chain.includes(next) || chain.length === MOST_ANCESTORS) return { chain, unknown: parent };
    chain.push(next);
  }
  return { chain, unknown: null };
}

/** How much better or worse a model is than another one, in percent; empty where that cannot be said. */
export function changeText(model, other) {
  if (!other || model.loss === null || !other.loss) return "";
  const change = (100 * (model.loss - other.loss)) / Math.abs(other.loss);
  return `${change > 0 ? "+" : ""}${change.toFixed(1)} %`;
}

/** Whether somebody may delete it: who made it, and the room's owner. */
export const mayDelete = (model, room, me) => room.role === "owner" || model.user_id === me.user_id;
