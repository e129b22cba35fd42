// The jobs of a room, as their workers tell the service of them: yours, and how others' stand.

import { get, path } from "../../api.js";
import { h, replace } from "../../dom.js";
import { poll } from "../../poll.js";
import { link } from "../../router.js";
import { badge, button, empty, loading, problem, select, when } from "../../ui.js";
import { brief } from "../../words.js";
import { kindText, progressText, stateBadge } from "./job_words.js";

const EVERY_MS = 3_000;
const SHOWN = [
  ["", "All jobs", []],
  ["active", "Running", ["starting", "running", "finishing"]],
  ["waiting", "Waiting", ["received", "staged", "queued"]],
  ["over", "Ended", ["done", "failed", "cancelled", "lost"]],
];
const HEADS = ["Job", "State", "Progress", "By", "Worker", "Submitted"];

/** Show the tab, and keep its list fresh. `room` is the room as the service tells it. */
export function mount(root, room, signal) {
  const trouble = h("div", {});
  const list = h("div", {}, loading("jobs"));
  const state = { newest: null, older: [], next: null };
  const filter = select("job-states", SHOWN, "", { "aria-label": "Which jobs", onchange: () => look(true) });
  const older = button("Older jobs", more, { class: "plain" });
  const asked = (before) => {
    const query = new URLSearchParams(SHOWN.find(([key]) => key === filter.value)[2].map((each) => ["state", each]));
    if (before) query.set("before", before);
    return get(`${path`rooms/${room.room_id}/jobs`}?${query}`, { signal });
  };

  async function look(afresh = false) {
    if (afresh) Object.assign(state, { newest: null, older: [] });
    const meant = filter.value;
    try {
      const { jobs, next } = await asked();
      if (meant !== filter.value) return;
      state.newest = jobs;
      if (!state.older.length) state.next = next;
      replace(trouble);
      show();
    } catch (error) {
      if (!signal.aborted) replace(trouble, problem(error));
    }
  }

  async function more() {
    older.disabled = true;
    try {
      const { jobs, next } = await asked(state.next);
      state.older.push(...jobs);
      state.next = next;
      show();
    } catch (error) {
      if (!signal.aborted) replace(trouble, problem(error));
    }
    older.disabled = false;
  }

  function show() {
    const known = new Set(state.newest.map((each) => each.job_id));
    const all = [...state.newest, ...state.older.filter((each) => !known.has(each.job_id))];
    older.hidden = !state.next;
    if (all.length) replace(list, table(all, room));
    else replace(list, empty(filter.value ? "No job is like that." : NOTHING));
  }

  older.hidden = true;
  root.append(
    h("div.head", {}, h("h2", {}, "Jobs"), h("div.tools", {}, filter,
      h("a.button", { href: link("rooms", room.room_id, "jobs", "new") }, "New job"))),
    trouble, list, h("div.more", {}, older));
  poll(look, EVERY_MS, signal);
}

const NOTHING = "No job has run here yet. Start one: drop a training package that SLEAP exported, and pick a worker.";

const table = (jobs, room) => h("table", {},
  h("thead", {}, h("tr", {}, HEADS.map((name) => h("th", { scope: "col" }, name)))),
  h("tbody", {}, jobs.map((job) => row(job, room))));

function row(job, room) {
  return h("tr", {},
    h("th", { scope: "row" },
      h("a", { href: link("rooms", room.room_id, "jobs", job.job_id) }, kindText(job.kind), " ", h("code", {}, brief(job.job_id)))),
    h("td", {}, stateBadge(job.state)),
    h("td", {}, h("bdi", {}, progressText(job.runs))),
    h("td", {}, h("bdi", {}, job.user_name)),
    h("td", {}, h("bdi", {}, job.worker_name), " ", !job.worker_online && badge("offline")),
    h("td", {}, when(job.created_at)));
}
