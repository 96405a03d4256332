"use strict";

/* The slider of the beam width; a move is an event for the server, see sidebar.py and events.js. */

export default function ({ data: [said, least, most, width], parentElement }) {
  const slider = parentElement.querySelector("input");
  const show = () => {
    parentElement.querySelector("output").value = slider.value;
    fill(slider);
  };
  Object.assign(slider, { min: least, max: most });
  slider.oninput = () => {
    show();
    report({ name: "width", width: Number(slider.value) });
  };
  if (!isOlder(said, "width")) slider.value = width;
  show();
}
