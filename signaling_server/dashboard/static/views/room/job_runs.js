// The runs of a job, each with what it does and its curves, as far as its events tell.

import { Curves } from "../../curves.js";
import { h, replace } from "../../dom.js";
import { badge, meter, problem } from "../../ui.js";
import { valueText } from "../../words.js";
import { epochText, framesText, phaseText, timeText } from "./job_words.js";

/** The cards of all runs; `element` is what stands in the page. */
export class Runs {
  #cards = new Map();

  constructor(signal) {
    this.signal = signal;
    this.element = h("div", {});
  }

  /** Show what is known: runs that have begun, and those that the job will come to. */
  update({ job, summary, isOver }) {
    const told = job.error?.sentence ?? summary?.error?.sentence ?? "";
    const planned = (summary?.runs ?? []).map((run) => run.name);
    const names = [...new Set([...planned, ...job.runs.keys()])];
    for (const name of names) {
      if (!this.#cards.has(name)) {
        const card = new RunCard(name, this.signal);
        this.#cards.set(name, card);
        this.element.append(card.element);
      }
      this.#cards.get(name).update(job.runs.get(name), summary?.runs.find((run) => run.name === name), isOver, told);
    }
  }
}

class RunCard {
  constructor(name, signal) {
    this.name = name;
    this.signal = signal;
    this.curves = null;
    this.heading = h("h3", {}, h("bdi", {}, name));
    this.state = h("span", {});
    this.bar = meter(`Progress of ${name}`);
    this.trouble = h("div", {});
    this.body = h("div", {});
    this.element = h("section.card.run", { "aria-label": `Run ${name}` },
      h("div.head", {}, this.heading, this.state), this.bar.element, this.trouble, this.body);
  }

  update(run, planned, isOver, told) {
    replace(this.state, runBadge(run, isOver));
    const type = run?.modelType || planned?.model_type;
    replace(this.heading, h("bdi", {}, this.name), type && type !== this.name && h("small", {}, " ", h("bdi", {}, type)));
    this.bar.element.hidden = !run;
    if (!run) return;
    if (run.frames) this.bar.show(run.frames.done, run.frames.total ?? 0, framesText(run.frames));
    else this.bar.show(run.epochsDone, run.maxEpochs ?? (isOver ? 1 : 0), epochsText(run, isOver));
    // it goes on with the end of the log, which stands below, and may be what is said of the whole job
    const sentence = run.error?.sentence.split("\n")[0] ?? "";
    replace(this.trouble, sentence && !told.includes(sentence) && problem({ message: sentence }));
    if (!run.columns.size) return;
    if (!this.curves) {
      this.curves = new Curves(this.name, this.signal);
      this.body.append(this.curves.element);
    }
    this.curves.update(run);
  }
}

function runBadge(run, isOver) {
  if (!run) return badge(isOver ? "not run" : "to come");
  if (isOver && !run.outcome) return badge("ended");
  const kind = { done: "good", stopped: "good", failed: "bad" }[run.outcome] ?? (run.outcome ? "" : "good");
  return badge(phaseText(run), kind);
}

function epochsText(run, isOver) {
  const loss = run.columns.get("val/loss")?.last;
  const parts = [run.verb === "train" ? epochText(run) : ""];
  if (loss !== undefined) parts.push(`validation loss ${valueText(loss)}`);
  if (!isOver && !run.outcome) parts.push(timeText(run));
  return parts.filter(Boolean).join(" · ");
}
