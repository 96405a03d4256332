"use strict";

/*
 * A file that is dropped or pasted anywhere on the page is handed to Streamlit's uploader as if it had been chosen there,
 * so that its limits hold. A file that the page has read is taken out of the uploader, so that the server forgets it.
 */

const FILE = ".st-key-upload [data-testid='stFileChip']";
let waiting = null;
// The last file that the page has read.
let known = null;

/** Hand the file over; false while the uploader is not on the page. */
function handOver() {
  const input = document.querySelector('.st-key-upload input[type="file"]');
  if (!input) return false;
  const files = new DataTransfer();
  files.items.add(waiting);
  waiting = null;
  input.files = files.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
  return true;
}

function accept(event, files) {
  const file = [...files].find(({ type }) => type.startsWith("image/")) ?? files[0];
  if (!file) return;
  event.preventDefault();
  const waits = Boolean(waiting);
  waiting = file;
  if (waits || handOver()) return;
  report({ name: "upload" });
  new MutationObserver((_, observer) => {
    if (handOver()) observer.disconnect();
  }).observe(document.body, { childList: true, subtree: true });
}

/** Whether a file is dragged, and not over the uploader, which takes it by itself. */
function isOurs({ dataTransfer, target }) {
  return dataTransfer.types.includes("Files") && !target.closest?.(".st-key-upload");
}

function mark(dragged) {
  document.body.classList.toggle("dragged-over", dragged);
}

window.addEventListener("dragover", (event) => {
  const ours = isOurs(event);
  if (ours) event.preventDefault();
  mark(ours);
});
window.addEventListener("dragleave", (event) => mark(Boolean(event.relatedTarget)));
window.addEventListener("drop", (event) => {
  mark(false);
  if (isOurs(event)) accept(event, event.dataTransfer.files);
});
window.addEventListener("paste", (event) => accept(event, event.clipboardData.files));

/** Take the file out of the uploader that the page has read; another one may be in it by now. */
export default function ({ data: [read, name] }) {
  if (read === known) return;
  known = read;
  const file = [...document.querySelectorAll(FILE)].find((each) => each.getAttribute("aria-label").startsWith(`${name}, `));
  file?.querySelector("[data-testid='stFileChipDeleteBtn'] button").click();
}
