"use strict";

/* Buttons whose clicks are events for the server; see buttons.py and events.js. */

export default function ({ data: [buttons], parentElement }) {
  const place = parentElement.querySelector(".buttons");
  place.classList.toggle("pictures", buttons.some(({ picture }) => picture !== null));
  while (place.children.length > buttons.length) place.lastChild.remove();
  buttons.forEach(({ label, help, event, picture }, index) => {
    // A button that is there stays: the next run of the page may come while it is being clicked.
    const button = place.children[index] ?? place.appendChild(document.createElement("button"));
    const shows = `${picture} ${label}`;
    if (button.shows !== shows) button.replaceChildren(...contents(label, picture));
    button.shows = shows;
    Object.assign(button, { type: "button", title: help });
    button.onclick = () => report(event);
  });
}

function contents(label, url) {
  const text = document.createElement("span");
  text.textContent = label;
  if (url === null) return [text];
  const picture = document.createElement(url ? "img" : "span");
  if (url) Object.assign(picture, { src: url, alt: "" });
  picture.className = "picture";
  return [picture, text];
}
