"use strict";

/*
 * The keys that step through a caption, and whose they are. After a click they belong to the player, whatever was
 * clicked. An element that was reached with the keyboard keeps the keys that it uses, and so does a text field.
 */

const ACTIONS = {
  ArrowLeft: "previous",
  ArrowRight: "next",
  // What presenters' remotes send.
  PageUp: "previous",
  PageDown: "next",
  Home: "first",
  End: "last",
  ArrowUp: "previousLook",
  ArrowDown: "nextLook",
  " ": "play",
};
const TYPED_IN =
  "textarea, [contenteditable=true], [aria-expanded=true], " +
  "input:not([type=range], [type=radio], [type=checkbox], [type=file], [role=combobox])";
const OPEN = "[role=listbox], [role=option], [role=menu], [role=menuitem], [role=dialog], dialog";
const USES_ARROWS =
  "input, select, [role=slider], [role=spinbutton], [role=combobox], [role=radio], [role=tab], [role=gridcell]";
const USES_SPACE = `${USES_ARROWS}, button, a, summary, [role=button]`;

/**
 * Call `act` with the name of an action for each key that means one. Returns {areUsed, close}: whether the focus was
 * moved with the keyboard last, and what ends the listening.
 */
function listenToKeys(act) {
  const listening = new AbortController();
  const listen = (type, handler) =>
    document.addEventListener(type, handler, { capture: true, signal: listening.signal });
  let pointing = false;
  let pointed = true;
  listen("pointerdown", () => (pointing = pointed = true));
  // A click on a label moves the focus after this.
  listen("pointerup", () => setTimeout(() => (pointing = false)));
  listen("pointercancel", () => (pointing = false));
  listen("focusin", () => (pointed = pointing));

  /** Whether a key belongs to the element that has the focus. */
  function isTheirs(element, key) {
    if (element.matches(TYPED_IN) || element.closest(OPEN)) return true;
    return !pointed && element.matches(key === " " ? USES_SPACE : USES_ARROWS);
  }

  listen("keydown", (event) => {
    const action = ACTIONS[event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    if (isTheirs(event.composedPath()[0], event.key)) return;
    // Before the control that was clicked last takes the key for itself.
    event.preventDefault();
    event.stopPropagation();
    act(action);
  });
  return { areUsed: () => !pointed, close: () => listening.abort() };
}

/** The element with the focus, in the document or the shadow tree that `root` is in. */
function focusedIn(root) {
  return root.getRootNode().activeElement;
}
