"use strict";

/* A photo as images.py opens it: upright, on white, no larger than it needs to be; and as the encoder reads it. */

// More than some phones allow a canvas; larger photos are shrunk by the browser first.
const MOST_PIXELS = 16_000_000;

/**
 * Open a photo, a Blob called `name`, as {width, height, values}: RGB, a Uint8ClampedArray (height, width, 3). One with
 * a side of more than `maxSide` pixels is made smaller.
 */
async function openPhoto(blob, name, maxSide) {
  let image;
  try {
    // The turn that EXIF names is applied; colours stay as they are in the file.
    image = await createImageBitmap(blob, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  } catch {
    throw new Error(`${name} is no photo that this browser can read: choose a JPEG, PNG or WebP file.`);
  }
  const factor = Math.min(1, Math.sqrt(MOST_PIXELS / (image.width * image.height)));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.floor(image.width * factor));
  canvas.height = Math.max(1, Math.floor(image.height * factor));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  image.close();
  const { width, height } = canvas;
  const values = withoutAlpha(context.getImageData(0, 0, width, height).data);
  const size = sizeWithin({ width, height }, maxSide);
  return { ...size, values: resize(values, { width, height, channels: 3 }, size, LANCZOS) };
}

function withoutAlpha(values) {
  const colors = new Uint8ClampedArray((values.length / 4) * 3);
  for (let from = 0, to = 0; from < values.length; from += 4) {
    colors[to++] = values[from];
    colors[to++] = values[from + 1];
    colors[to++] = values[from + 2];
  }
  return colors;
}

function withAlpha(colors) {
  const values = new Uint8ClampedArray((colors.length / 3) * 4).fill(255);
  for (let from = 0, to = 0; from < colors.length; to += 4) {
    values[to] = colors[from++];
    values[to + 1] = colors[from++];
    values[to + 2] = colors[from++];
  }
  return values;
}

/** The size of a thumbnail of Pillow's: neither side longer than `longest`, as near to the photo's ratio as can be. */
function sizeWithin({ width, height }, longest) {
  if (Math.max(width, height) <= longest) return { width, height };
  const ratio = width / height;
  const nearest = (length, error) => {
    const [less, more] = [Math.floor(length), Math.ceil(length)];
    return Math.max(1, error(less) <= error(more) ? less : more);
  };
  if (ratio > 1) return { width: longest, height: nearest(longest / ratio, (at) => (at ? Math.abs(ratio - longest / at) : 0)) };
  return { width: nearest(longest * ratio, (at) => Math.abs(ratio - at / longest)), height: longest };
}

/** The whole photo, resized to a square, as a Uint8Array (3, size, size); see `to_pixels` of images.py. */
function toPixels({ width, height, values }, size) {
  const square = resize(values, { width, height, channels: 3 }, { width: size, height: size });
  const pixels = new Uint8Array(square.length);
  square.forEach((value, at) => {
    pixels[(at % 3) * size * size + Math.floor(at / 3)] = value;
  });
  return pixels;
}

/** A copy of the photo in which rectangles are gray; see `hide` of hiding.py. */
function withoutParts({ width, height, values }, rectangles, gray) {
  const copy = values.slice();
  for (const [left, top, right, bottom] of rectangles) {
    const [first, last] = [Math.floor(left * width), Math.ceil(right * width)];
    for (let row = Math.floor(top * height); row < Math.ceil(bottom * height); row++) {
      copy.fill(gray, 3 * (row * width + first), 3 * (row * width + last));
    }
  }
  return { width, height, values: copy };
}

/** The photo for the screen, {url, width, height}, as `player_data` of data.py has it. */
function drawPhoto({ width, height, values }, longest, widest, tallest) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  canvas.getContext("2d").putImageData(new ImageData(withAlpha(values), width, height), 0, 0);
  const size = sizeWithin({ width: Math.min(width, widest * height), height: Math.min(height, tallest * width) }, longest);
  const shown = document.createElement("canvas");
  Object.assign(shown, size);
  const context = shown.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(canvas, 0, 0, size.width, size.height);
  return { url: shown.toDataURL("image/jpeg", 0.88), ...size };
}
