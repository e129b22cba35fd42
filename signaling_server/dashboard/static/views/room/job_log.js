// The end of a job's log, as text. It follows what is written unless somebody scrolled up to read.

import { h, replace } from "../../dom.js";
import { onceAFrame } from "../../pace.js";
import { plain } from "../../words.js";

const MOST_LINES = 2_000;
const MOST_LINE = 2_000;

/** A log; `element` is what stands in the page. */
export class LogTail {
  #lines = [];
  #part = "";
  #dropped = false;

  constructor() {
    this.text = h("pre.log", { tabindex: "0", role: "region", "aria-label": "Log" });
    this.hint = h("p.hint", {});
    this.element = h("div", {}, this.text, this.hint);
    this.#show = onceAFrame(() => this.#write());
    this.#show();
  }

  #show;

  /** Write more. */
  add(text) {
    const pieces = (this.#part + text).split("\n");
    this.#part = pieces.pop().slice(-MOST_LINE);
    this.#lines.push(...pieces.slice(-MOST_LINES).map(shown));
    if (this.#lines.length > MOST_LINES) {
      this.#lines.splice(0, this.#lines.length - MOST_LINES);
      this.#dropped = true;
    }
    this.#show();
  }

  /** Begin anew. */
  clear() {
    this.#lines = [];
    this.#part = "";
    this.#dropped = false;
    this.#show();
  }

  #write() {
    const box = this.text;
    const follows = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    const lines = this.#part ? [...this.#lines, shown(this.#part)] : this.#lines;
    replace(box, lines.length ? lines.join("\n") : "Nothing was written yet.");
    replace(this.hint, this.#dropped && `The last ${MOST_LINES} lines. All of it is said by \`sleap-rtc jobs logs\`.`);
    if (follows) box.scrollTop = box.scrollHeight;
  }
}

// a progress bar writes over its line: what it wrote last is what one would see
const shown = (line) => plain(line.slice(-MOST_LINE).replace(/\r+$/, "").split("\r").at(-1));
