// Which worker of a room gets the job: the rule of `sleap-rtc train --auto-select`. Pure.

const MEBIBYTE = 2 ** 20;

/** The rule, for people. */
export const RULE = "a free worker before a busy one, then the one with the most GPU memory";

/** Whether a job would start at once. */
export const isFree = ({ info }) => info.busy + info.queued < info.slots;

/** Bytes of its largest GPU; 0 without any. */
const gpuMemory = ({ info }) => Math.max(0, ...info.gpus.map((gpu) => gpu.memory_mb)) * MEBIBYTE;

/** What it computes on, in a few words. */
export function gpuText({ info }) {
  if (!info.gpus.length) return "CPU only";
  const names = [...new Set(info.gpus.map((gpu) => gpu.name))];
  return names.map((name) => {
    const alike = info.gpus.filter((gpu) => gpu.name === name);
    const memory = `${(alike[0].memory_mb / 1024).toFixed(0)} GiB`;
    return `${alike.length > 1 ? `${alike.length} × ` : ""}${name} (${memory})`;
  }).join(", ");
}

/** Workers by the rule, the best first; equals by name and id, so that the same room always gives the same answer. */
export const ranked = (workers) => [...workers].sort((one, other) =>
  Number(isFree(other)) - Number(isFree(one))
  || gpuMemory(other) - gpuMemory(one)
  || compare(one.name, other.name)
  || compare(one.worker_id, other.worker_id));

/** Why `chosen`, the first of `ranked(workers)`, came out so. */
export function reason(chosen, workers) {
  if (workers.length === 1) return "the only one that is online.";
  const alike = workers.filter((each) => isFree(each) === isFree(chosen));
  const most = alike.every((each) => each === chosen || gpuMemory(each) < gpuMemory(chosen));
  const memory = most ? "with the most GPU memory" : "the first by name of those with the most GPU memory";
  if (!isFree(chosen)) return `${memory}; all ${workers.length} are busy.`;
  if (alike.length === 1) return `the only free one of ${workers.length}.`;
  return `free, and ${memory} of ${alike.length} free ones.`;
}

/** That a job will have to wait there; empty for a free worker. */
export function waitingText(worker) {
  if (isFree(worker)) return "";
  const before = worker.info.queued;
  const behind = before > 1 ? `, behind ${before} that wait already` : ", behind one that waits already";
  return `It is busy: the job waits in its queue${before ? behind : ""}.`;
}

// by code points, as Python sorts
function compare(one, other) {
  const a = [...one].map((each) => each.codePointAt(0));
  const b = [...other].map((each) => each.codePointAt(0));
  for (let at = 0; at < Math.min(a.length, b.length); at += 1) if (a[at] !== b[at]) return a[at] - b[at];
  return a.length - b.length;
}
