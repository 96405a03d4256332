"use strict";

/* How attention is drawn over a photo, as `looks` of data.py offers it. */

const FADE_MILLISECONDS = 150;

/**
 * Draw a photo with the attention of a step over it; without a step, the photo alone.
 *
 * `data` is the player data; `view` says how attention is drawn, {look, opacity, colors}, or that it is not: `plain`. `line` is the width of a
 * contour in pixels of the canvas.
 */
function paint(canvas, photo, step, line, view, data) {
  const { width, height } = canvas;
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.globalAlpha = 1;
  context.drawImage(photo, 0, 0, width, height);
  if (!step || view.plain || (view.look === OCCLUSION ? !step.occlusion : lookedEverywhere(step, data))) return;
  if (view.look === "contour") {
    outline(context, (step.outlines ||= halfOutlines(enlarge(step, data), data.map_size)), line, view, data);
    return;
  }
  context.globalAlpha = view.opacity;
  context.drawImage(overlay(step, view, data), 0, 0, width, height);
}

/** The map of a step as a small picture: in colours, or for the spotlight in black where the model did not look. */
function overlay(step, view, data) {
  step.overlays ||= {};
  const colors = view.look === "spotlight" ? null : view.colors;
  const strength = () => (view.look === OCCLUSION ? bytes(step.occlusion) : attentionMap(step, data));
  return (step.overlays[`${view.look} ${colors}`] ||= tint(strength(), colors && bytes(data.color_maps[colors].table)));
}

function tint(strength, colors) {
  const side = Math.round(Math.sqrt(strength.length));
  const canvas = make("canvas");
  canvas.width = canvas.height = side;
  const context = canvas.getContext("2d");
  const image = context.createImageData(side, side);
  strength.forEach((value, index) => {
    if (colors) image.data.set(colors.subarray(3 * value, 3 * value + 3), 4 * index);
    image.data[4 * index + 3] = colors ? 255 : 255 - value;
  });
  context.putImageData(image, 0, 0);
  return canvas;
}

/** The attention of a step spread smoothly over a square with `map_size` places a side. */
function enlarge(step, data) {
  const square = { height: data.map_size, width: data.map_size };
  const grid = { height: data.grid.rows, width: data.grid.columns, channels: 1 };
  return (step.enlarged ||= resize(Float32Array.from(step.attention), grid, square));
}

/** Whether attention is nearly flat; see `looked_everywhere` of overlay.py. */
function lookedEverywhere({ attention }, { everywhere }) {
  return Math.max(...attention) * attention.length < everywhere;
}

/** How strongly to draw attention, 0 to 255 a place; see `attention_map` of overlay.py. */
function attentionMap(step, data) {
  const full = fullWeight(step, data);
  return Uint8ClampedArray.from(enlarge(step, data), (weight) => (255 * weight) / full);
}

/** The weight of a cell that is drawn at full strength. */
function fullWeight(step, data) {
  return Math.max(data.full_strength / step.attention.length, ...enlarge(step, data));
}

/** Say on the photo what the colours mean, or that the model looked everywhere; nothing where neither is drawn. */
function showScale(scale, step, view, data) {
  const everywhere = step && lookedEverywhere(step, data);
  scale.hidden = !step || view.plain || view.look === OCCLUSION || !(everywhere || view.look === "heat");
  if (scale.hidden) return;
  const colors = make("span", "colors");
  const table = bytes(data.color_maps[view.colors].table);
  const stops = [0, 51, 102, 153, 204, 255].map((at) => `rgb(${table.subarray(3 * at, 3 * at + 3).join()})`);
  colors.style.background = `linear-gradient(90deg, ${stops})`;
  const most = percent(fullWeight(step, data));
  scale.replaceChildren(...(everywhere ? ["looked everywhere"] : ["0%", colors, `${most} a cell`]));
}

/**
 * Outlines of the smallest region that holds half of the weights on a square: closed lines of x, y, x, y … from 0 to 1.
 * They run along the places' edges in a square with a rim of zeros, where each cell between four corners hands them on
 * from the edge at which the region is left to the next at which it is entered.
 */
function halfOutlines(weights, side) {
  const level = halfLevel(weights);
  const wide = side + 2;
  const padded = new Float64Array(wide * wide);
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      padded[(row + 1) * wide + column + 1] = Math.max(0, weights[row * side + column]);
    }
  }
  const next = new Map();
  for (let row = 0; row < wide - 1; row++) {
    for (let column = 0; column < wide - 1; column++) {
      const corner = row * wide + column;
      const corners = [corner, corner + 1, corner + 1 + wide, corner + wide];
      const crossed = corners.map((one, at) => [one, corners[(at + 1) % 4]]);
      const edges = crossed.filter(([one, other]) => padded[one] >= level !== padded[other] >= level);
      edges.forEach((edge, at) => {
        if (padded[edge[0]] >= level) next.set(nameOf(edge), edges[(at + 1) % edges.length]);
      });
    }
  }
  const center = (at) => Math.min(Math.max((at - 0.5) / side, 0), 1);
  const place = ([one, other]) => {
    const share = (level - padded[one]) / (padded[other] - padded[one]);
    const [x, y, toX, toY] = [one % wide, Math.floor(one / wide), other % wide, Math.floor(other / wide)];
    return [center(x) + share * (center(toX) - center(x)), center(y) + share * (center(toY) - center(y))];
  };
  const outlines = [];
  while (next.size) {
    const line = [];
    let [name] = next.keys();
    for (let edge = next.get(name); edge; edge = next.get(name)) {
      next.delete(name);
      line.push(...place(edge));
      name = nameOf(edge);
    }
    outlines.push(line);
  }
  return outlines;
}

/** The same for an edge in either direction. */
function nameOf([one, other]) {
  return `${Math.min(one, other)} ${Math.max(one, other)}`;
}

/** The weight from which on the places hold half of all; a little lower, so that equal weights have an outline too. */
function halfLevel(weights) {
  const falling = Float64Array.from(weights, (weight) => Math.max(0, weight)).sort().reverse();
  const half = falling.reduce((sum, weight) => sum + weight, 0) / 2;
  let sum = 0;
  return 0.9999 * falling.find((weight) => (sum += weight) >= half);
}

function outline(context, outlines, line, view, data) {
  const { width, height } = context.canvas;
  const path = new Path2D();
  for (const points of outlines) {
    path.moveTo(points[0] * width, points[1] * height);
    for (let at = 2; at < points.length; at += 2) path.lineTo(points[at] * width, points[at + 1] * height);
    path.closePath();
  }
  const outside = new Path2D(path);
  outside.rect(0, 0, width, height);
  context.globalAlpha = view.opacity * data.contour_shade;
  context.fillStyle = "#000";
  context.fill(outside, "evenodd");
  context.globalAlpha = 1;
  context.lineJoin = "round";
  context.lineWidth = 2 * line;
  context.strokeStyle = "rgba(0, 0, 0, 0.7)";
  context.stroke(path);
  context.lineWidth = line;
  context.strokeStyle = data.color_maps[view.colors].line;
  context.stroke(path);
}

/** Let what a canvas shows fade above it, while something else is drawn on it. */
function fadeOut(canvas) {
  if (window.matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  const before = make("canvas", "before");
  Object.assign(before, { width: canvas.width, height: canvas.height });
  before.getContext("2d").drawImage(canvas, 0, 0);
  canvas.after(before);
  before.animate({ opacity: [1, 0] }, FADE_MILLISECONDS).onfinish = () => before.remove();
}

/** The bytes that a base64 text stands for. */
function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}
