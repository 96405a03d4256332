"use strict";

/* Elements of the page, and numbers on it. */

function make(tag, name = "", text = "") {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text) element.textContent = text;
  return element;
}

/** Colour a slider up to its thumb. */
function fill(slider) {
  const share = (slider.value - slider.min) / (slider.max - slider.min || 1);
  slider.style.setProperty("--filled", `${100 * share}%`);
}

/** A question mark that explains something when it is pointed at, or reached with the keyboard. */
function help(text) {
  const button = make("button", "help", "?");
  button.type = "button";
  button.dataset.help = text;
  button.setAttribute("aria-label", text);
  return button;
}

function isButton(element) {
  return element?.tagName === "BUTTON";
}

function clamp(index, count) {
  return Math.min(Math.max(index, 0), count - 1);
}

function percent(share) {
  return share > 0 && share < 0.005 ? "<1%" : `${Math.round(100 * share)}%`;
}
