// One room: its name, its tabs, and the tab that is shown. All of it follows the room: its name, your role, its end.

import { get, path } from "../api.js";
import { now } from "../clock.js";
import { h, replace } from "../dom.js";
import { poll } from "../poll.js";
import { link, setTitle } from "../router.js";
import { change, current } from "../store.js";
import { badge, loading, name, problem, when } from "../ui.js";

const EVERY_MS = 5_000;
/** What there is to see of a room; the last word says for whom. */
const TABS = [
  ["overview", "Overview"],
  ["jobs", "Jobs"],
  ["models", "Models"],
  ["workers", "Workers"],
  ["members", "Members"],
  ["invites", "Invites", "owner"],
  ["tokens", "Tokens", "owner"],
  ["secret", "Secret"],
  ["log", "Log", "owner"],
];

/**
 * A view inside its room.
 *
 * @param {string} tab the tab that it belongs to.
 * @param {object} view a view; its `mount` is also given `params.about`, the room as the service describes it to who
 *   asks, and `params.refresh()`, to look at it again after a change. It is mounted anew when one's role changes.
 * @returns {object} a view for a route with `:room` in it.
 */
export const inRoom = (tab, view) => ({
  title: (params) => titled(view.title(params), known(params.room)),
  mount: (root, params, signal) => new Frame(root, params, signal).show(tab, view),
});

const known = (id) => [current().room, ...(current().rooms ?? [])].find((room) => room?.room_id === id);
const titled = (what, room) => (room ? `${what} · ${room.name}` : what);

class Frame {
  constructor(root, params, signal) {
    this.root = root;
    this.params = params;
    this.signal = signal;
    this.head = h("div.room-head", {});
    this.body = h("div.tab", {}, loading("the room"));
    this.left = new AbortController();
    signal.addEventListener("abort", () => this.left.abort());
  }

  show(tab, view) {
    this.tab = tab;
    this.view = view;
    this.root.append(this.head, this.body);
    const before = current().room;
    if (before?.room_id === this.params.room) this.follow(before);
    poll(() => this.look(), EVERY_MS, this.signal);
  }

  async look() {
    try {
      const room = await get(path`rooms/${this.params.room}`, { signal: this.signal });
      change({ room });
      this.follow(room);
    } catch (error) {
      if (this.signal.aborted || error.passing) return;
      this.fail(error);
    }
  }

  follow(room) {
    const mark = JSON.stringify([room.name, room.role, expired(room), room.expires_soon && room.expires_at]);
    if (mark !== this.mark) this.drawHead(room);
    this.mark = mark;
    if (room.role === this.role) return;
    this.role = room.role;
    this.left.abort();
    this.left = new AbortController();
    this.body.replaceChildren();
    const params = { ...this.params, about: room, refresh: () => this.look() };
    if (allowed(this.tab, room.role)) this.view.mount(this.body, params, this.left.signal);
    else replace(this.body, h("p", {}, "Only the owner of a room sees this."));
  }

  drawHead(room) {
    setTitle(titled(this.view.title(this.params), room));
    replace(this.head,
      h("p.crumb", {}, h("a", { href: link("rooms") }, "Rooms")),
      h("div.head", {}, h("h1", {}, name(room.name)), h("span", {}, badge(room.role, room.role === "owner" ? "good" : ""))),
      ending(room), this.tabs(room));
    // on a phone it may stand beyond the edge
    this.head.querySelector(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  }

  tabs(room) {
    return h("nav.tabs", { "aria-label": "Room" }, TABS.filter(([tab]) => allowed(tab, room.role)).map(([tab, label]) =>
      h("a", { href: link("rooms", room.room_id, tab), "aria-current": tab === this.tab ? "page" : null }, label)));
  }

  fail(error) {
    if (error.status !== 404) {
      if (!this.mark) replace(this.body, problem(error));
      return;
    }
    this.left.abort();
    this.role = this.mark = undefined;
    const before = known(this.params.room);
    change({ room: null });
    setTitle("No such room");
    replace(this.head, h("div.head", {}, h("h1", {}, "This room is not there for you")));
    replace(this.body, h("div.card", {}, h("p", { role: "alert" }, before ? gone(before) : MISSING),
      h("a.button", { href: link("rooms") }, "See your rooms")));
  }
}

const MISSING = "There is no such room, or you do not belong to it. If somebody gave you this address, ask them for an invite.";

const gone = (room) => [
  "You no longer belong to ", h("strong", {}, name(room.name)), ": you left it or were removed, its owner deleted it, or it " +
  "expired more than a week ago. Jobs that you sent run on to their end. To come back, ask its owner for an invite."];

const allowed = (tab, role) => !TABS.find(([key]) => key === tab)[2] || role === "owner";

const expired = (room) => room.expires_at !== null && room.expires_at <= now();

function ending(room) {
  if (expired(room)) {
    return h("p.notice", {}, "This room expired ", when(room.expires_at), ". Nobody can connect to it; jobs that run go on. " +
      "For a week after its end its owner can bring it back.");
  }
  if (!room.expires_soon) return null;
  return h("p.notice", {}, "This room expires ", when(room.expires_at), ". ", room.role === "owner"
    ? h("a", { href: link("rooms", room.room_id, "overview") }, "Extend it")
    : "Its owner can extend it.");
}
