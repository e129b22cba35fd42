// From numbers to places on a chart: where axes are marked, and lines with no more points than there are pixels. Pure.

const FEW = 2;

/** Round numbers between `low` and `high`, about `wanted` of them. */
export function linearTicks(low, high, wanted) {
  const step = niceStep((high - low) / Math.max(wanted, 1));
  const ticks = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at += 1) ticks.push(clean(at * step));
  return ticks;
}

/** Powers of ten between `low` and `high`, and 2 and 5 times these where there are few. */
export function logTicks(low, high, wanted) {
  const [from, to] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const factors = to - from <= FEW ? [1, 2, 5] : [1];
  const every = Math.max(1, Math.ceil((to - from) / Math.max(wanted, 1)));
  const ticks = [];
  for (let power = from; power <= to; power += 1) {
    if ((power - from) % every && factors.length === 1) continue;
    for (const factor of factors) {
      const tick = clean(factor * 10 ** power);
      if (tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9)) ticks.push(tick);
    }
  }
  return ticks.length > 1 ? ticks : linearTicks(low, high, wanted);
}

/** Whole epochs between 0 and `end`, about `wanted` of them. */
export const epochTicks = (end, wanted) => linearTicks(0, end, Math.min(wanted, end)).filter(Number.isInteger);

/** A number on an axis: short. */
export function tickText(value) {
  const size = Math.abs(value);
  if (value === 0) return "0";
  if (size >= 1e5 || size < 1e-3) return value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e");
  return String(Number(value.toPrecision(4)));
}

/**
 * From which value to which an axis goes.
 *
 * @param {Array<Column>} columns what is drawn.
 * @param {boolean} log whether the axis is logarithmic: then only what is above zero counts.
 * @returns {?[number, number]} null where there is nothing to draw.
 */
export function domain(columns, log) {
  let low = Infinity;
  let high = -Infinity;
  for (const { values, length } of columns) {
    for (let at = 0; at < length; at += 1) {
      const value = values[at];
      if (!(log ? value > 0 : Math.abs(value) < Infinity)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  if (low > high) return null;
  if (low === high) return log ? [low / 2, high * 2] : [low - (Math.abs(low) / 2 || 1), high + (Math.abs(high) / 2 || 1)];
  return log ? [low, high] : [low - (high - low) * 0.04, high + (high - low) * 0.04];
}

/** Where values go: a function from a value to pixels, NaN for what a logarithm has no place for. */
export function scaled([low, high], [from, to], log) {
  const place = log ? Math.log10 : (value) => value;
  const [begin, end] = [place(low), place(high)];
  const factor = (to - from) / (end - begin || 1);
  return (value) => (log && value <= 0 ? Number.NaN : from + (place(value) - begin) * factor);
}

/**
 * The line of a column, as the `d` of a path. Of many points in one pixel the first, the lowest, the highest and the
 * last are drawn: what stands out is seen.
 *
 * @param {Column} column the numbers.
 * @param {number} batches how many an epoch has.
 * @param {function(number): number} x from a place to pixels.
 * @param {function(number): number} y from a value to pixels.
 */
export function outline(column, batches, x, y) {
  const parts = [];
  let pen = false;
  const put = (left, top) => {
    parts.push(`${pen ? "L" : "M"}${left.toFixed(1)} ${top.toFixed(1)}${pen ? "" : "h0"}`);
    pen = true;
  };
  // of the points in the pixel at hand: which are the first, the lowest, the highest and the last; no object for each
  let pixel = Number.NaN;
  let [first, low, high, last, lowTop, highTop] = [0, 0, 0, -1, 0, 0];
  const left = (at) => x(column.place(at, batches));
  const top = (at) => y(column.values[at]);
  const flush = () => {
    if (last < 0) return;
    const corners = low < high ? [first, low, high, last] : [first, high, low, last];
    corners.forEach((at, number) => (number === 0 || at !== corners[number - 1]) && put(left(at), top(at)));
    last = -1;
  };
  for (let at = 0; at < column.length; at += 1) {
    const height = top(at);
    if (!Number.isFinite(height)) {
      flush();
      pen = false;
      pixel = Number.NaN;
      continue;
    }
    const here = Math.round(left(at));
    if (here !== pixel) {
      flush();
      pixel = here;
      first = low = high = at;
      lowTop = highTop = height;
    } else if (height < lowTop) {
      low = at;
      lowTop = height;
    } else if (height > highTop) {
      high = at;
      highTop = height;
    }
    last = at;
  }
  flush();
  return parts.join("");
}

/** The last point of a column at or before a place; the first one where there is none; -1 of an empty column. */
export function pointAt(column, batches, place) {
  let [from, to] = [0, column.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (column.place(middle, batches) <= place) from = middle + 1;
    else to = middle;
  }
  return column.length ? Math.max(from - 1, 0) : -1;
}

function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough || 1));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= rough * (1 - 1e-9));
}

const clean = (value) => Number(value.toPrecision(12));
