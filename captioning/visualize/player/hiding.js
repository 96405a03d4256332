"use strict";

/*
 * Hiding a part of the photo. With a mouse a rectangle is dragged on it. "Hide part" offers nine places, for fingers and
 * the keyboard, and then a finger may drag too, which otherwise scrolls the page.
 */

// A pointer that has moved less far touches the photo and does not drag.
const DRAG_PIXELS = 8;
const SMALLEST_SHARE = 0.01;
const PLACES = ["top left", "top", "top right", "left", "middle", "right", "bottom left", "bottom", "bottom right"];

/** The photo with rectangles in gray; the photo itself where there are none. */
function withHidden(photo, rectangles, gray) {
  if (!rectangles.length) return photo;
  const canvas = make("canvas");
  const { width, height } = Object.assign(canvas, { width: photo.naturalWidth, height: photo.naturalHeight });
  const context = canvas.getContext("2d");
  context.drawImage(photo, 0, 0);
  context.fillStyle = `rgb(${gray} ${gray} ${gray})`;
  for (const [left, top, right, bottom] of rectangles) {
    context.fillRect(left * width, top * height, (right - left) * width, (bottom - top) * height);
  }
  return canvas;
}

/**
 * `hid(pane, rectangle)` is called with [left, top, right, bottom], from 0 to 1 of the photo.
 * Returns {offer, toggle, leave}.
 */
function createHiding(hid) {
  // The pane whose nine places are offered.
  let open = null;

  /** Let parts of a pane's photo be hidden. */
  function offer(pane) {
    const button = make("button", "hide-part", "Hide part");
    Object.assign(button, { type: "button", title: "Hide a part of the photo (X), or drag over it" });
    button.onclick = () => toggle(pane);
    pane.figure.append(button);
    listenToDrags(pane);
  }

  /** Offer the nine places of a pane's photo, or take the offer back. */
  function toggle(pane) {
    if (leave()) return;
    open = pane;
    const places = make("div", "places");
    places.setAttribute("role", "group");
    places.setAttribute("aria-label", "Hide a part of the photo");
    places.append(
      ...PLACES.map((name, at) => {
        const place = make("button");
        const [row, column] = [Math.floor(at / 3), at % 3];
        Object.assign(place, { type: "button", title: `Hide ${name}` });
        place.onclick = () => finish(pane, [column / 3, row / 3, (column + 1) / 3, (row + 1) / 3]);
        return place;
      }),
    );
    pane.figure.append(places);
    pane.figure.classList.add("hiding");
    pane.figure.querySelector(".hide-part").textContent = "Cancel";
    places.children[4].focus();
  }

  /** Take the offer back; false if there is none. */
  function leave() {
    if (!open) return false;
    const { figure } = open;
    const button = figure.querySelector(".hide-part");
    open = null;
    figure.classList.remove("hiding");
    button.textContent = "Hide part";
    if (figure.querySelector(".places :focus")) button.focus();
    figure.querySelector(".places").remove();
    return true;
  }

  function finish(pane, rectangle) {
    leave();
    hid(pane, rectangle.map((share) => Number(share.toFixed(3))));
  }

  function listenToDrags(pane) {
    const { figure } = pane;
    let start = null;
    let box = null;
    const at = ({ clientX, clientY }) => {
      const { left, top, width, height } = figure.getBoundingClientRect();
      const within = (share) => Math.min(Math.max(share, 0), 1);
      return [within((clientX - left) / width), within((clientY - top) / height)];
    };
    const rectangle = (event) => {
      const [[x, y], [startX, startY]] = [at(event), at(start)];
      return [Math.min(x, startX), Math.min(y, startY), Math.max(x, startX), Math.max(y, startY)];
    };
    // Before the touch that player.js listens to.
    const listen = (type, handler) => figure.addEventListener(type, handler, { capture: true });
    listen("pointerdown", (event) => {
      const drags = event.pointerType === "mouse" || open === pane;
      start = drags && event.button === 0 && !event.target.matches(".hide-part") ? event : null;
    });
    listen("pointermove", (event) => {
      if (!start) return;
      const far = Math.hypot(event.clientX - start.clientX, event.clientY - start.clientY) >= DRAG_PIXELS;
      if (!box && !far) return;
      event.stopImmediatePropagation();
      if (!box) {
        letGo(pane);
        figure.setPointerCapture(event.pointerId);
        box = figure.appendChild(make("div", "hidden-part"));
      }
      const [left, top, right, bottom] = rectangle(event).map((share) => `${100 * share}%`);
      Object.assign(box.style, { left, top, width: `calc(${right} - ${left})`, height: `calc(${bottom} - ${top})` });
    });
    listen("pointerup", (event) => {
      const [left, top, right, bottom] = box ? rectangle(event) : [0, 0, 0, 0];
      if (Math.min(right - left, bottom - top) >= SMALLEST_SHARE) finish(pane, [left, top, right, bottom]);
      else box?.remove();
      start = box = null;
    });
    listen("pointercancel", () => {
      box?.remove();
      start = box = null;
    });
  }

  return { offer, toggle, leave };
}
