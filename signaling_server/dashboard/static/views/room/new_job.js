// A new job: a package, a worker, what would be trained, and the start.

import { draftOf, wasOnItsWay } from "../../draft.js";
import { h } from "../../dom.js";
import { enter } from "../../links.js";
import { problem } from "../../ui.js";
import { PackageStep } from "./new_package.js";
import { PlanStep } from "./new_plan.js";
import { WorkerStep } from "./new_worker.js";

export const title = () => "New job";

/** Show the steps; what was picked before in this room is still there. */
export function mount(root, { room }, signal) {
  const draft = draftOf(room);
  root.append(h("div.head", {}, h("h2", {}, "New job")));
  let here;
  try {
    here = enter(room, signal);
  } catch (error) {
    root.append(problem(error));
    return;
  }
  let plan = null;
  const changed = () => plan?.update();
  const workers = new WorkerStep(draft, here, signal, changed);
  const packages = new PackageStep(room, draft, signal, changed);
  plan = new PlanStep(room, draft, workers, signal);
  if (wasOnItsWay(room)) {
    packages.say("A package was on its way when this page was left. Drop it again to go on: what has arrived is not sent again.");
  }
  root.append(packages.element, workers.element, plan.element);
}
