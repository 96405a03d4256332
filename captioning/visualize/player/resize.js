"use strict";

/*
 * Resizing as Pillow does it, to the last bit: each new place is a mean of all old ones below the filter, which is as
 * wide as what it reads is shrunk. A canvas would sample, and another photo is another caption.
 */

// Bytes are resized with weights that are whole numbers of this part, so that sums are exact; half a level is rounded up.
const PART = 2 ** -22;

// Of Pillow's filters: the weight at a distance from the middle, and the distance from which on it is 0.
const BICUBIC = {
  reach: 2,
  weight(distance) {
    const x = Math.abs(distance);
    if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
  },
};
const LANCZOS = {
  reach: 3,
  weight: (distance) => (Math.abs(distance) < 3 ? sinc(distance) * sinc(distance / 3) : 0),
};

function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/**
 * Resize `values` (height, width, channels) to (toHeight, toWidth, channels). The result has the type of the values: a
 * Uint8ClampedArray is rounded after either direction, as Pillow does.
 */
function resize(values, { height, width, channels }, { height: toHeight, width: toWidth }, filter = BICUBIC) {
  const across = (from, rows) => resizeAxis(from, rows, width, channels, toWidth, filter);
  const down = (from, columns) => resizeAxis(from, 1, height, columns * channels, toHeight, filter);
  // Whose turn is first decides what is rounded between; this is the order of Pillow 13.
  const downFirst = height - toHeight > Math.max(0, 2 * (width - toWidth));
  return downFirst ? across(down(values, width), toHeight) : down(across(values, height), toWidth);
}

/** Resize the middle axis of `values` (before, from, after) to `to` places. */
function resizeAxis(values, before, from, after, to, { reach, weight }) {
  if (from === to) return values;
  const result = new values.constructor(before * to * after);
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  const whole = values instanceof Uint8ClampedArray;
  const sums = new Float64Array(after);
  for (let place = 0; place < to; place++) {
    const middle = (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(middle - reach * stretch + 0.5));
    const last = Math.min(from, Math.trunc(middle + reach * stretch + 0.5));
    const weights = Array.from({ length: last - first }, (_, at) => weight((first + at + 0.5 - middle) / stretch));
    const total = weights.reduce((sum, each) => sum + each, 0);
    const shares = weights.map((each) => (whole ? toPart(each / total) : each / total));
    for (let row = 0; row < before; row++) {
      sums.fill(whole ? PART / 2 : 0);
      for (let at = first; at < last; at++) {
        const share = shares[at - first];
        const start = (row * from + at) * after;
        for (let index = 0; index < after; index++) sums[index] += share * values[start + index];
      }
      result.set(sums, (row * to + place) * after);
    }
  }
  return result;
}

function toPart(share) {
  return Math.sign(share) * Math.round(Math.abs(share) / PART) * PART;
}
