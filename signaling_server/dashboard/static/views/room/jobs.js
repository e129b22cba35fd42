// The jobs of a room, as their workers tell the service of them: yours, and how others' stand.

import { get, path } from "../../api.js";
import { h, replace } from "../../dom.js";
import { OVER } from "../../job_source.js";
import { live } from "../../live.js";
import { link } from "../../router.js";
import { badge, button, empty, name, problem, select, table, when } from "../../ui.js";
import { brief } from "../../words.js";
import { kindText, progressText, stateBadge } from "./job_words.js";

const EVERY_MS = 3_000;
const SHOWN = [
  ["", "All jobs", []],
  ["active", "Running", ["starting", "running", "finishing"]],
  ["waiting", "Waiting", ["received", "staged", "queued"]],
  ["over", "Ended", OVER],
];
const HEADS = ["Job", "State", "Progress", "By", "Worker", "Submitted"];
const NOTHING = "No job has run here yet. Start one: drop a training package that SLEAP exported, and pick a worker.";

export const title = () => "Jobs";

/** Show the list, and keep it fresh. */
export function mount(root, { room }, signal) {
  const list = h("div", {});
  const trouble = h("div", {});
  const pages = { older: [], next: null };
  const older = button("Older jobs", more, { class: "plain", hidden: true });
  const filter = select("job-states", SHOWN, "", { "aria-label": "Which jobs", onchange: afresh });
  root.append(
    h("div.head", {}, h("h2", {}, "Jobs"), h("div.tools", {}, filter,
      h("a.button", { href: link("rooms", room, "jobs", "new") }, "New job"))),
    list, trouble, h("div.more", {}, older));

  function asked(before) {
    const query = new URLSearchParams(SHOWN.find(([key]) => key === filter.value)[2].map((each) => ["state", each]));
    if (before) query.set("before", before);
    return get(`${path`rooms/${room}/jobs`}?${query}`, { signal });
  }

  async function newest() {
    const { jobs, next } = await asked();
    if (!pages.older.length) pages.next = next;
    const known = new Set(jobs.map((each) => each.job_id));
    return { jobs: [...jobs, ...pages.older.filter((each) => !known.has(each.job_id))], next: pages.next };
  }

  const look = live(list, "jobs", newest, ({ jobs, next }) => {
    older.hidden = !next;
    if (!jobs.length) return empty(filter.value ? "No job is like that now." : NOTHING);
    return table("Jobs", HEADS, jobs.map((each) => row(each, room)));
  }, { ms: EVERY_MS, signal });

  function afresh() {
    pages.older = [];
    return look();
  }

  async function more() {
    older.disabled = true;
    try {
      const { jobs, next } = await asked(pages.next);
      pages.older.push(...jobs);
      pages.next = next;
      replace(trouble);
      await look();
    } catch (error) {
      if (!signal.aborted) replace(trouble, problem(error));
    }
    older.disabled = false;
  }
}

const row = (job, room) => [
  h("a", { href: link("rooms", room, "jobs", job.job_id), "data-key": job.job_id }, kindText(job.kind), " ", h("code", {}, brief(job.job_id))),
  stateBadge(job.state),
  name(progressText(job.runs)),
  name(job.user_name),
  [name(job.worker_name), " ", !job.worker_online && badge("offline")],
  when(job.created_at),
];
