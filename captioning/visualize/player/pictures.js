"use strict";

/* How attention is drawn over a photo, as `looks` of data.py offers it. */

/**
 * Draw a photo with the attention of a step over it.
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
  if (view.plain || (view.look === OCCLUSION && !step.occlusion)) return;
  if (view.look === "contour") {
    outline(context, step.outlines, line, view, data);
    return;
  }
  context.globalAlpha = view.opacity;
  context.drawImage(overlay(step, view, data), 0, 0, width, height);
}

/** The map of a step as a small picture: in colours, or for the spotlight in black where the model did not look. */
function overlay(step, view, data) {
  step.overlays ||= {};
  const colors = view.look === "spotlight" ? null : view.colors;
  const map = view.look === OCCLUSION ? step.occlusion : step.map;
  return (step.overlays[`${view.look} ${colors}`] ||= tint(map, colors && bytes(data.color_maps[colors].table)));
}

function tint(map, colors) {
  const strength = bytes(map);
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

/** The bytes that a base64 text stands for. */
function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}
