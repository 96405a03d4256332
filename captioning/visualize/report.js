"use strict";

/** Report what somebody did in a component, {name, …}, to the page's events.js, which sends it to the server. */
function report(event) {
  window.dispatchEvent(new CustomEvent("captioning", { detail: event }));
}
