// The time as the service has it. The clock of a laptop may be wrong by days; what has expired, only the service judges.

let ahead = 0;

/** Learn from the Date header of an answer how far this machine's clock is off. */
export function heard(date) {
  const theirs = Date.parse(date ?? "");
  // the answer took its time, and the header has whole seconds: a minute is no clock that is wrong
  if (!Number.isNaN(theirs)) ahead = Math.abs(theirs - Date.now()) > 60_000 ? theirs - Date.now() : 0;
}

/** UTC milliseconds, by the service's clock. */
export const now = () => Date.now() + ahead;
