// The workers of a room that are online, as they are now, and how to start another one.

import { get, path } from "../../api.js";
import { h } from "../../dom.js";
import { live } from "../../live.js";
import { badge, count, empty, name, table, when } from "../../ui.js";
import { deploy } from "./deploy.js";

const EVERY_MS = 3_000;

export const title = () => "Workers";

/** Show the list, and keep it fresh. */
export function mount(root, { about }, signal) {
  const heading = h("h2", {}, "Workers online");
  const list = h("div", {});
  root.append(heading, list);
  live(list, "workers", () => get(path`rooms/${about.room_id}/workers`, { signal }), (workers) => {
    heading.textContent = `Workers online (${workers.length})`;
    return workers.length ? listed(workers) : empty("No worker is online. Start one below: it is here as soon as it runs.");
  }, { ms: EVERY_MS, signal });
  root.append(deploy(about));
}

const listed = (workers) => table("Workers online", ["Worker", "GPUs", "Load", "Waiting", "Versions", "Online"],
  workers.map(({ worker_id: id, name: called, info, since }) => [
    [name(called), h("div.hint", {}, info.hostname && [name(info.hostname), " · "], h("code", {}, `${id.slice(0, 12)}…`))],
    gpus(info.gpus),
    load(info),
    info.queued ? count(info.queued, "job") : "none",
    [h("div", {}, "sleap-rtc ", name(info.version)), info.sleap_nn && h("div", {}, "sleap-nn ", name(info.sleap_nn)),
      info.engine && h("div.hint", {}, name(info.engine))],
    when(since),
  ]));

function gpus(found) {
  if (!found.length) return "CPU only";
  return h("ul.bare", {}, found.map((gpu) => h("li", {}, name(gpu.name), " · ", memory(gpu.memory_mb))));
}

const memory = (megabytes) => (megabytes >= 1024 ? `${Math.round(megabytes / 1024)} GB` : `${megabytes} MB`);

function load({ busy, slots }) {
  const words = busy === 0 ? ["free", "good"] : busy < slots ? ["partly free", "good"] : ["busy", "warn"];
  return [badge(...words), h("div.meter", {}, h("meter", { min: 0, max: slots, value: busy, "aria-label": "Slots in use" }),
    ` ${busy} of ${count(slots, "slot")}`)];
}
