"use strict";

/*
 * The presentation: the photo and the caption fill the screen, and the controls fade until somebody moves. A browser
 * goes full screen on a key or a click alone, so that without one, as from an address, the same layout fills the window.
 */

const IDLE_MILLISECONDS = 2500;

/**
 * Present a player. `changed(presenting)` is called when it begins and ends; `offers(action)` says whether a key of KEYS
 * has an effect.
 * Returns {isOn, set, toggleBlank, showKeys, leave, close}.
 */
function createPresentation(root, changed, offers) {
  const stage = root.querySelector(".stage");
  const player = root.querySelector(".player");
  const list = root.querySelector('[data-part="keys"]');
  const listening = new AbortController();
  let timer = null;

  const isOn = () => stage.classList.contains("presenting");

  /** Begin or end; `screen` is false where the browser would refuse to go full screen. */
  function set(on, screen = true) {
    if (on === isOn()) return;
    stage.classList.toggle("presenting", on);
    stage.popover = on ? "manual" : null;
    if (on) stage.showPopover();
    else player.classList.remove("blank");
    if (on && screen) player.requestFullscreen?.().catch(() => {});
    if (!on && document.fullscreenElement) document.exitFullscreen();
    stir();
    changed(on);
  }

  function toggleBlank() {
    player.classList.toggle("blank", isOn() && !player.classList.contains("blank"));
  }

  function showKeys() {
    list.replaceChildren(list.firstElementChild, ...describeKeys(KEYS.filter(({ action }) => offers(action)), "div"));
    list.hidden = !list.hidden;
  }

  /** Leave what was entered last; false if there is nothing to leave. */
  function leave() {
    if (!list.hidden) list.hidden = true;
    else if (player.classList.contains("blank")) toggleBlank();
    else if (isOn()) set(false);
    else return false;
    return true;
  }

  /** Show the controls, and fade them when nobody has moved for a while. */
  function stir() {
    clearTimeout(timer);
    player.classList.remove("idle");
    if (isOn()) timer = setTimeout(() => player.classList.add("idle"), IDLE_MILLISECONDS);
  }

  for (const type of ["pointermove", "pointerdown", "focusin"]) {
    player.addEventListener(type, stir, { signal: listening.signal });
  }
  // The browser leaves the full screen on Escape by itself.
  const left = () => document.fullscreenElement || set(false);
  document.addEventListener("fullscreenchange", left, { signal: listening.signal });
  return {
    isOn,
    set,
    toggleBlank,
    showKeys,
    leave,
    close() {
      clearTimeout(timer);
      listening.abort();
    },
  };
}
