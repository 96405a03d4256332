"use strict";

/* Buttons whose clicks are events for the server; see buttons.py and events.js. */

export default function ({ data: [buttons], parentElement }) {
  const place = parentElement.querySelector(".buttons");
  buttons.forEach(({ label, help, event }, index) => {
    // A button that is there stays: the next run of the page may come while it is being clicked.
    const button = place.children[index] ?? place.appendChild(document.createElement("button"));
    if (button.textContent !== label) button.textContent = label;
    Object.assign(button, { type: "button", title: help });
    button.onclick = () => report(event);
  });
}
