// One job: how it stands, its curves while they grow, its log, and what one can do with it.

import { h, replace } from "../../dom.js";
import { JobSource } from "../../job_source.js";
import { atMostEvery } from "../../pace.js";
import { badge, loading, name, problem, when } from "../../ui.js";
import { brief } from "../../words.js";
import { Actions } from "./job_actions.js";
import { LogTail } from "./job_log.js";
import { Runs } from "./job_runs.js";
import { kindText, progressText, queueText, stateBadge } from "./job_words.js";

/** How often what is known is drawn anew at most; curves follow once a frame. */
const EVERY_MS = 150;

export const title = ({ job }) => `Job ${brief(job)}`;

/** Show the job, and keep it fresh. */
export function mount(root, { room, job }, signal) {
  const parts = {
    heading: h("h2", {}, "Job ", h("code", {}, brief(job))), state: h("span", { role: "status" }), about: h("p.quiet", {}),
    line: h("p.link-state", { role: "status" }), trouble: h("div", {}), told: h("div", {}, loading("the job")),
    notices: h("div", {}), log: new LogTail(), runs: new Runs(signal),
  };
  const source = new JobSource(room, job, {
    onChange: atMostEvery(EVERY_MS, () => !signal.aborted && show(parts, source)),
    onLog: (text) => parts.log.add(text),
    onAgain: () => parts.log.clear(),
  });
  parts.actions = new Actions(source, signal);
  parts.logCard = h("section.card", { hidden: true },
    h("h3", {}, "Log"), parts.log.element);
  root.append(
    h("div.head", {}, h("div.titled", {}, parts.heading, parts.state), parts.actions.element),
    parts.about, parts.line, parts.trouble, parts.actions.below, parts.told,
    parts.runs.element, parts.notices, parts.logCard);
  source.start(signal);
}

function show(parts, source) {
  const { listed, summary, job, state, trouble, refusal } = source;
  if (summary?.name) replace(parts.heading, name(summary.name));
  replace(parts.state, state && stateBadge(state), job.attempt > 1 && badge(`attempt ${job.attempt}`));
  replace(parts.about, aboutText(source));
  replace(parts.line, lineText(source));
  const error = job.error ?? summary?.error;
  replace(parts.trouble,
    source.isOver && error && problem({ message: error.sentence }), refusal && problem(refusal), trouble && problem(trouble));
  replace(parts.told, toldText(source));
  parts.actions.update();
  if (source.isMine) parts.runs.update(source);
  replace(parts.notices, job.notices.length > 0 && h("section.card", {}, h("h3", {}, "Notices"),
    h("ul.notices", {}, job.notices.map((text) => h("li", {}, name(text))))));
  parts.logCard.hidden = !source.isMine || !(job.lastSeq || listed === null) || !summary;
}

function aboutText({ listed, summary, jobId }) {
  const owner = summary?.owner ?? listed?.user_name;
  return [
    listed && `${kindText(listed.kind)} `, owner && ["by ", name(owner)],
    listed && [" on ", name(listed.worker_name), ", submitted ", when(listed.created_at)],
    (owner || listed) && [" · ", h("code", {}, jobId)],
  ];
}

// how the page knows what it shows
function lineText({ isMine, link: { state, reason }, listed, isOver }) {
  if (!isMine) return "";
  const why = reason ? ` (${reason.replace(/[. ]+$/, "")})` : "";
  const worker = listed ? name(listed.worker_name) : "the worker";
  if (state === "ready") return isOver ? "" : [h("span.dot.good"), "Live from ", worker, "."];
  if (state === "connecting") return [h("span.dot"), "Connecting to ", worker, " …"];
  if (state === "lost") {
    return [h("span.dot.warn"), "Reconnecting to ", worker, ` …${why}${isOver ? "" : " The job goes on there; nothing is missed."}`];
  }
  if (state === "refused") return [h("span.dot.bad"), "The link to ", worker, ` was refused${why}. This page tries again.`];
  if (state === "away") {
    return [h("span.dot.warn"), worker, ` cannot be reached just now${why}. Below is what it told last; this page tries again.`];
  }
  return "";
}

// what is said where there is nothing live to show
function toldText({ isMine, listed, summary, job, state }) {
  if (!listed && !summary) return loading("the job");
  const last = listed?.runs.length > 0 && h("div.card", {}, h("h3", {}, "As its worker told last"), h("p", {}, name(progressText(listed.runs))));
  if (!isMine) {
    return [h("p.card", {}, "This job is somebody else's: you see how it stands. Its submitter and the room's owner see its curves and its log."), last];
  }
  if (state === "queued") {
    return h("p.card", { role: "status" }, "The job waits", sayAlso(queueText(job.position ?? summary?.position, job.startsIn ?? summary?.starts_in)), ".");
  }
  return job.lastSeq ? "" : last;
}

const sayAlso = (text) => (text ? `: ${text}` : "");
