// What this browser keeps of workers, and what it knows of a room's secret. A page of the service knows none.

import { browserPins } from "./peer/worker.js";

/** The keys of workers that were met. */
export const pins = browserPins;

/** The keys derived from a room's secrets. */
export const secrets = async () => [];
