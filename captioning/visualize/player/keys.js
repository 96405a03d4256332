"use strict";

/*
 * The keys that step through a caption, and whose they are. After a click they belong to the player, whatever was
 * clicked. An element that was reached with the keyboard keeps the keys that it uses, and so does a text field.
 */

// What presenters' remotes send is PageUp and PageDown.
const KEYS = [
  { action: "next", keys: ["ArrowRight", "PageDown"], shown: "→", does: "next word" },
  { action: "previous", keys: ["ArrowLeft", "PageUp"], shown: "←", does: "word before" },
  { action: "first", keys: ["Home"], shown: "Home", does: "first word" },
  { action: "last", keys: ["End"], shown: "End", does: "last word" },
  { action: "play", keys: [" "], shown: "Space", does: "play or pause" },
  { action: "nextLook", keys: ["ArrowDown"], shown: "↓", does: "another look" },
  { action: "previousLook", keys: ["ArrowUp"], shown: "↑", does: "look before" },
  { action: "plain", keys: ["h"], shown: "H", does: "photo alone" },
  { action: "touch", keys: ["t"], shown: "T", does: "touch the photo, with ← → ↑ ↓" },
  { action: "hide", keys: ["x"], shown: "X", does: "hide a part of the photo" },
  { action: "undo", keys: ["u"], shown: "U", does: "undo a change" },
  { action: "nextPhoto", keys: ["n"], shown: "N", does: "next photo" },
  { action: "previousPhoto", keys: ["p"], shown: "P", does: "photo before" },
  { action: "present", keys: ["f"], shown: "F", does: "full screen" },
  { action: "blank", keys: ["b"], shown: "B", does: "black screen" },
  { action: "help", keys: ["?"], shown: "?", does: "all keys" },
  { action: "leave", keys: ["Escape"], shown: "Esc", does: "leave" },
];
// Those that are shown on the first visit.
const FIRST_KEYS = ["next", "play", "present", "help"];
const VISITED = "captioning visited";
const TYPED_IN =
  "textarea, [contenteditable=true], [aria-expanded=true], " +
  "input:not([type=range], [type=radio], [type=checkbox], [type=file], [role=combobox])";
const OPEN = "[role=listbox], [role=option], [role=menu], [role=menuitem], [role=dialog], dialog";
const USES_ARROWS =
  "input, select, [role=slider], [role=spinbutton], [role=combobox], [role=radio], [role=tab], [role=gridcell]";
const USES_SPACE = `${USES_ARROWS}, button, a, summary, [role=button]`;

/**
 * Call `act` with the action of KEYS for each key that means one; where it returns false, the key is not used.
 * Returns {areUsed, close}: whether the focus was moved with the keyboard last, and what ends the listening.
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
    if (event.ctrlKey || event.metaKey || event.altKey || (event.shiftKey && event.key !== "?")) return;
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const meant = KEYS.find(({ keys }) => keys.includes(name));
    if (!meant || isTheirs(event.composedPath()[0], event.key) || act(meant.action) === false) return;
    // Before the control that was clicked last takes the key for itself.
    event.preventDefault();
    event.stopPropagation();
  });
  return { areUsed: () => !pointed, close: () => listening.abort() };
}

/** Keys as elements, each with what it does. */
function describeKeys(keys, tag) {
  return keys.map(({ shown, does }) => {
    const row = make(tag);
    row.append(make("kbd", "", shown), " ", make("span", "", does));
    return row;
  });
}

/**
 * Tell a few keys to who is here for the first time, in a button that a click removes.
 * Returns what removes it for good.
 */
function greet(button) {
  button.append(...describeKeys(KEYS.filter(({ action }) => FIRST_KEYS.includes(action)), "span"));
  // A browser that keeps nothing refuses.
  const storage = (use) => {
    try {
      return use(window.localStorage);
    } catch {
      return null;
    }
  };
  button.hidden = Boolean(storage((kept) => kept.getItem(VISITED)));
  return (button.onclick = () => {
    button.hidden = true;
    storage((kept) => kept.setItem(VISITED, "yes"));
  });
}

/** The element with the focus, in the document or the shadow tree that `root` is in. */
function focusedIn(root) {
  return root.getRootNode().activeElement;
}
