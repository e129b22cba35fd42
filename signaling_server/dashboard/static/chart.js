// A chart of lines over epochs, in plain SVG: drawn at most once a frame, read with a pointer or the keyboard.

import { h, replace, svg } from "./dom.js";
import { onceAFrame } from "./pace.js";
import { domain, epochTicks, linearTicks, logTicks, outline, pointAt, scaled, tickText } from "./scale.js";
import { valueText } from "./words.js";

const HEIGHT = 260;
const MARGIN = { top: 12, right: 14, bottom: 34, left: 58 };
const STOPS = 500;
/** How many lines look different. */
const LOOKS = 8;

/** A chart; `element` is what stands in the page. */
export class Chart {
  /**
   * @param {string} label what is shown, for those who do not see it.
   * @param {AbortSignal} signal ends it.
   */
  constructor(label, signal) {
    this.label = label;
    this.lines = [];
    this.log = false;
    this.picture = svg("svg", { role: "img", height: HEIGHT });
    this.slider = h("input.reader", { type: "range", min: 0, max: STOPS, value: STOPS, "aria-label": `Read ${label} at` });
    this.said = h("output.readout", {});
    this.element = h("figure.chart", {}, this.picture, this.slider, this.said);
    this.frame = null;
    this.reading = svg("g.reading", {});
    this.redraw = onceAFrame(() => !signal.aborted && this.#draw());
    this.reread = onceAFrame(() => !signal.aborted && this.#read());
    this.picture.addEventListener("pointermove", (event) => this.#point(event));
    this.picture.addEventListener("pointerdown", (event) => this.#point(event));
    this.slider.addEventListener("input", this.reread);
    const sizes = new ResizeObserver(this.redraw);
    sizes.observe(this.element);
    signal.addEventListener("abort", () => sizes.disconnect());
  }

  /**
   * Show these lines from now on.
   *
   * @param {Array<{name: string, look: number, column: Column, batches: number}>} lines `look` picks the colour.
   * @param {boolean} log whether the values' axis is logarithmic.
   */
  show(lines, log) {
    Object.assign(this, { lines: lines.filter(({ column }) => column.length), log });
    this.redraw();
  }

  #point(event) {
    const box = this.picture.getBoundingClientRect();
    const share = (event.clientX - box.left - MARGIN.left) / (box.width - MARGIN.left - MARGIN.right);
    this.slider.value = Math.round(Math.min(Math.max(share, 0), 1) * STOPS);
    this.reread();
  }

  #draw() {
    const width = Math.max(this.element.clientWidth, 200);
    const values = domain(this.lines.map(({ column }) => column), this.log);
    this.picture.setAttribute("width", width);
    this.picture.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.slider.hidden = !values;
    if (!values) {
      const why = this.lines.length ? "Nothing of this is above zero: a logarithmic axis cannot show it." : "No values yet.";
      replace(this.picture, svg("title", {}, this.label), svg("text.quiet", { x: 16, y: 40 }, why));
      replace(this.said);
      this.frame = null;
      return;
    }
    const end = Math.max(1, Math.ceil(Math.max(...this.lines.map(({ column, batches }) =>
      column.place(column.length - 1, batches)))));
    const x = scaled([0, end], [MARGIN.left, width - MARGIN.right], false);
    const y = scaled(values, [HEIGHT - MARGIN.bottom, MARGIN.top], this.log);
    replace(this.picture,
      svg("title", {}, this.label), svg("desc", {}, this.#summary()),
      valuesAxis(values, this.log, y, width), epochsAxis(end, x, width),
      this.lines.map(({ look, column, batches }) =>
        svg("path.line", { class: `look-${look % LOOKS}`, d: outline(column, batches, x, y) })),
      this.reading);
    this.frame = { end, x, y };
    this.#read();
  }

  // the line at which values are read, and what they are there
  #read() {
    if (!this.frame) return;
    const { end, x, y } = this.frame;
    const place = (this.slider.value / STOPS) * end;
    const found = this.lines.map((line) => ({ ...line, at: pointAt(line.column, line.batches, place) }));
    const words = found.map(({ name, column, at }) => `${name} ${valueText(column.values[at])}`);
    const where = placeText(place, found);
    this.slider.setAttribute("aria-valuetext", [where, ...words].join(", "));
    replace(this.said, h("strong", {}, where), found.map(({ name, look, column, at }) =>
      h("span", {}, swatch(look), h("bdi", {}, name), " ", h("b", {}, valueText(column.values[at])))));
    replace(this.reading,
      svg("line", { x1: x(place), x2: x(place), y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom }),
      found.map(({ look, column, batches, at }) => {
        const [cx, cy] = [x(column.place(at, batches)), y(column.values[at])];
        return Number.isFinite(cy) && svg("circle", { class: `look-${look % LOOKS}`, cx, cy, r: 4 });
      }));
  }

  #summary() {
    return this.lines.map(({ name, column }) =>
      `${name}: ${column.length} values, the last one ${valueText(column.last)}.`).join(" ");
  }
}

/** The look of a line, in a legend. */
export const swatch = (look) => svg("svg.swatch", { width: 22, height: 10, "aria-hidden": "true" },
  svg("path.line", { class: `look-${look % LOOKS}`, d: "M1 5H21" }));

// the newest point that is read, in epochs as people count them
function placeText(place, found) {
  const finest = found.reduce((one, other) => (other.column.length > one.column.length ? other : one));
  const [epoch, batch] = [finest.column.epochs[finest.at], finest.column.batches[finest.at]];
  return batch < 0 ? `Epoch ${epoch}` : `Epoch ${epoch + 1}, batch ${batch + 1}`;
}

function valuesAxis(values, log, y, width) {
  const ticks = log ? logTicks(...values, 5) : linearTicks(...values, 5);
  return svg("g.axis", {}, ticks.map((tick) => [
    svg("line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: y(tick), y2: y(tick) }),
    svg("text", { x: MARGIN.left - 8, y: y(tick) + 4, "text-anchor": "end" }, tickText(tick)),
  ]));
}

function epochsAxis(end, x, width) {
  const wanted = Math.max(2, Math.floor((width - MARGIN.left) / 80));
  return svg("g.axis", {},
    epochTicks(end, wanted).map((tick) =>
      svg("text", { x: x(tick), y: HEIGHT - MARGIN.bottom + 18, "text-anchor": "middle" }, tick)),
    svg("text", { x: width - MARGIN.right, y: HEIGHT - 2, "text-anchor": "end" }, "epoch"));
}
