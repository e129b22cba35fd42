// Worker tokens: how they are listed, made, shown once, replaced and ended. The room's tab and the list of all use these.

import { del, path, post } from "../api.js";
import { onlyHere, workerLine, workerVariable } from "../commands.js";
import { h } from "../dom.js";
import { keepToken } from "../made_tokens.js";
import { current } from "../store.js";
import { ask, badge, button, confirm, copyable, field, name, reveal, select, toast, when } from "../ui.js";
import { LIVES, lifetime } from "./lists.js";

const GRACES = [[0, "Not at all: end it now"], [1, "1 hour"], [24, "1 day"], [168, "7 days"]];

/** The columns of a list of tokens; the first names the token. */
export const COLUMNS = ["Token", "State", "Last used", "Expires", "Made", ""];

/**
 * What a list shows of one token.
 *
 * @param {object} token as the service lists it.
 * @param {string} room the id of its room.
 * @param {function(): Promise} changed called when something was done with it.
 */
export function cells(token, room, changed) {
  const active = token.state === "active";
  const act = (verb, does) => button(verb, () => does(room, token, changed),
    { class: "plain small", "aria-label": `${verb} ${token.name}`, "data-key": `${verb} ${token.token_id}` });
  return [
    [name(token.name), h("div.hint", {}, h("code", {}, token.display, "…"))],
    state(token),
    when(token.last_used_at),
    [when(token.expires_at), " ", active && token.expires_soon && badge("soon", "warn")],
    [when(token.created_at), token.created_by && [" by ", name(token.created_by)]],
    active && h("div.actions", {}, token.replaced_at === null && act("Rotate", rotate), act("Revoke", revoke)),
  ];
}

function state(token) {
  if (token.state === "revoked") return badge("revoked", "bad");
  if (token.state === "expired") return badge("expired", "warn");
  return token.replaced_at === null ? badge("active", "good") : badge("replaced", "warn");
}

/**
 * Ask for a new token, make it, and show it.
 *
 * @param {string} room the id of its room.
 * @param {function(): Promise} changed called when it was made.
 */
export function createToken(room, changed) {
  ask("Create a worker token", [
    field("Name", h("input", { id: "token-name", name: "name", required: true, maxlength: 64, autocomplete: "off", placeholder: "lab-gpu-1" }),
      "Workers that are started with it are called so, unless they say otherwise."),
    field("Expires after", select("token-life", LIVES, 7, { name: "days" })),
  ], "Create", async (form) => {
    const made = await post(path`rooms/${room}/tokens`, { name: form.get("name"), expires_days: lifetime(form) });
    keepToken(room, made.token);
    await changed();
    return () => reveal(["The token ", name(made.name)], shown(made));
  });
}

function shown(made) {
  const { server } = current().page;
  return [
    h("p", {}, "It is shown this once: copy it now. It expires ", when(made.expires_at), "."),
    copyable(made.token),
    h("h3", {}, "Start a worker with it, on the machine with the GPU"),
    copyable(workerVariable(server, made.token)),
    h("p", {}, "Or, on a machine that only you use (others there could read the token in its list of processes):"),
    copyable(workerLine(server, made.token)),
    onlyHere(server) && h("p.notice", {}, "This service listens on one machine alone: the worker has to run there, too."),
  ];
}

function rotate(room, token, changed) {
  ask(["Rotate ", name(token.name), "?"], [
    h("p", {}, "You get a new token of the same name and lifetime. Start its workers with the new one while the old one still works."),
    field("The old one still works for", select("grace", GRACES, 24, { name: "hours" })),
  ], "Rotate", async (form) => {
    const made = await post(path`rooms/${room}/tokens/${token.token_id}/rotate`, { grace_hours: Number(form.get("hours")) });
    keepToken(room, made.token);
    await changed();
    return () => reveal(["The new token ", name(made.name)], [shown(made), h("p", {}, "The old one ends ", when(made.old_ends_at), ".")]);
  });
}

function revoke(room, token, changed) {
  confirm(["Revoke ", name(token.name), "?"], "Its workers are disconnected at once, and nobody can start one with it. Jobs that run " +
    "go on to their end.", "Revoke", async () => {
    await del(path`rooms/${room}/tokens/${token.token_id}`);
    await changed();
    toast("The token is revoked.");
  });
}
