"use strict";

/*
 * Saves files that the server has made, each once, where the browser puts downloads. The server sends a file again until
 * it hears that it is saved.
 */

const saved = new Set();

export default function ({ data }) {
  for (const file of data) {
    if (saved.has(file.id)) continue;
    saved.add(file.id);
    save(file);
    report({ name: "saved", id: file.id });
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
