// How a job stands, in words that all views of jobs share.

import { badge, count } from "../../ui.js";
import { durationText, ordinal, valueText } from "../../words.js";

const STATES = {
  received: ["arriving", ""], staged: ["checked", ""], queued: ["waiting", "warn"], starting: ["starting", ""],
  running: ["running", "good"], finishing: ["finishing", "good"], done: ["done", "good"], failed: ["failed", "bad"],
  cancelled: ["cancelled", ""], lost: ["lost", "bad"],
};
const KINDS = { train: "Training", track: "Tracking", export: "Export" };
const PHASES = {
  starting: "starting sleap-nn", training: "training", looking: "looking at frames", following: "following animals",
  evaluating: "validating and evaluating", ended: "done",
};
const OUTCOMES = { done: "done", stopped: "stopped early", failed: "failed", cancelled: "cancelled" };

/** A job's state, as a badge. */
export const stateBadge = (state) => badge(...(STATES[state] ?? [state, ""]));

/** What kind of job it is. */
export const kindText = (kind) => KINDS[kind] ?? kind;

/** What a run is doing; how it ended, where it has. */
export const phaseText = (run) => (run.outcome ? (OUTCOMES[run.outcome] ?? run.outcome) : PHASES[run.phase]);

/** "epoch 3 of 8", counted from 1. */
export const epochText = (run) =>
  run.epoch === null ? "no epoch yet" : `epoch ${run.epoch + 1}${run.maxEpochs === null ? "" : ` of ${run.maxEpochs}`}`;

/** "120 of 1000 frames, 45.2 frames/s, 20 s left". */
export function framesText({ done, total, rate, eta }) {
  const parts = [total === null || total === undefined ? count(done, "frame") : `${done} of ${count(total, "frame")}`];
  if (rate) parts.push(`${rate < 100 ? Number(rate.toPrecision(3)) : Math.round(rate)} frames/s`);
  if (eta && done !== total) parts.push(`${durationText(eta)} left`);
  return parts.join(", ");
}

/** How long an epoch of a run takes, and how long the rest will. */
export function timeText(run) {
  if (run.secondsPerEpoch === null) return "";
  const left = run.secondsLeft;
  return `${durationText(run.secondsPerEpoch)} an epoch${left ? `, at most about ${durationText(left)} left` : ""}`;
}

/** Where in the queue a job waits, and for how long. */
export function queueText(position, startsIn) {
  if (!position) return "";
  const place = position === 1 ? "next in the queue" : `${ordinal(position)} in the queue`;
  if (startsIn === null || startsIn === undefined) return place;
  return startsIn >= 1 ? `${place}, starts in about ${durationText(startsIn)}` : `${place}, starts soon`;
}

/** How far the runs of a job are, as the service knows it. */
export const progressText = (runs) => runs.map(({ name, epoch, epochs, loss }) => {
  const far = epoch === null ? "" : ` ${epoch}${epochs === null ? "" : `/${epochs}`}`;
  return `${name}${far}${loss === null ? "" : `, loss ${valueText(Number(loss.toPrecision(4)))}`}`;
}).join(" · ");
