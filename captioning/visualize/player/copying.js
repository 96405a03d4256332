"use strict";

/* Copying the captions, as they are or as alternative texts of a web page, and the address that shows them. */

/**
 * `texts()` are the captions; `link()` is the address that brings them back, and empty where none does.
 */
function offerCopies(root, texts, link = () => "") {
  const details = root.querySelector(".more");
  const copied = root.querySelector('[data-part="copied"]');
  const copies = {
    caption: () => texts().join("\n"),
    alternative: () => texts().map(asSentence).join("\n"),
    link,
  };
  root.querySelector('[data-part="copies"]').hidden = !navigator.clipboard;
  for (const button of root.querySelectorAll("[data-copy]")) {
    const copy = copies[button.dataset.copy];
    button.onclick = async () => {
      const done = navigator.clipboard.writeText(copy());
      copied.textContent = await done.then(() => `Copied: ${copy()}`, () => "This browser does not allow it here.");
    };
  }
  details.ontoggle = () => {
    details.querySelector('[data-copy="link"]').hidden = !link();
    copied.textContent = "";
  };
}

/** A caption with a capital and a full stop. */
function asSentence(text) {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
