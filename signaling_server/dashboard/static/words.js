// Numbers and texts of strangers, as people read them; the same words as the command line's.

const KILO = 1_000;
const STEERING = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const ESCAPES = /\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]|\x1b\[[0-?]*[ -/]*[@-~]/g;
// eslint-disable-next-line no-control-regex
const CONTROL = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;

/** A number of bytes in decimal units: "999 B", "12.3 kB", "4.00 GB". */
export function sizeText(bytes) {
  if (bytes < KILO) return `${Math.trunc(bytes)} B`;
  let size = bytes;
  let unit = "";
  for (unit of ["kB", "MB", "GB", "TB"]) {
    size /= KILO;
    if (size < 999.5) break;
  }
  return `${size.toFixed(size < 9.995 ? 2 : size < 99.95 ? 1 : 0)} ${unit}`;
}

/** A share, rounded down so that only all of it is "100 %". */
export function percentText(part, whole) {
  const percent = whole ? Math.floor((100 * part) / whole) : 100;
  return part && !percent ? "<1 %" : `${percent} %`;
}

/** A time in its two largest units: "0.4 s", "12 s", "1 m 20 s", "2 h 5 m", "3 d 4 h". */
export function durationText(seconds) {
  if (seconds < 9.95) return `${Math.max(seconds, 0).toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3_600) return `${Math.floor(whole / 60)} m ${whole % 60} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3_600)} h ${Math.floor((whole % 3_600) / 60)} m`;
  if (whole >= 10_000 * 86_400) return "more than 9999 d";
  return `${Math.floor(whole / 86_400)} d ${Math.floor((whole % 86_400) / 3_600)} h`;
}

/** A loss with six significant digits; null is a value that was not finite. */
export const valueText = (value) =>
  value === null || Number.isNaN(value) ? "not finite" : String(Number(value.toPrecision(6)));

/** "1st", "2nd", "11th". */
export function ordinal(number) {
  const teen = [11, 12, 13].includes(number % 100);
  return `${number}${teen ? "th" : ({ 1: "st", 2: "nd", 3: "rd" }[number % 10] ?? "th")}`;
}

/** The beginning of an id or a digest, enough to tell it apart. */
export const brief = (id) => (id.length > 16 ? `${id.slice(0, 14)}…` : id);

/** A text from a stranger without what steers a terminal or turns the reading direction. */
export const plain = (text) => text.replace(ESCAPES, "").replace(CONTROL, "").replace(STEERING, "");
