"use strict";

/*
 * A file that the server has made: it goes where the browser puts downloads, as soon as it is here. The page may be run
 * again meanwhile, and hand it over again until it is told that the file has arrived.
 */

const arrived = new Set();

export default function ({ data, setTriggerValue }) {
  if (!arrived.has(data.id)) {
    arrived.add(data.id);
    save(data);
  }
  setTriggerValue("arrived", data.id);
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
