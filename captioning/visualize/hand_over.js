"use strict";

/*
 * Files that the server has made: they go where the browser puts downloads, as soon as they are here. The server may hand
 * them over again, for it is not told that they have arrived: a message of that could fall together with a click.
 */

const saved = new Set();

export default function ({ data }) {
  for (const file of data) {
    if (!saved.has(file.id)) save(file);
    saved.add(file.id);
  }
}

function save({ content, mime, name }) {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([bytes], { type: mime }));
  link.download = name;
  link.click();
  // The browser has it by then.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
