"use strict";

/** Report what somebody did in a component, {name, …}, to the page's events.js, which may be loaded later than it. */
function report(event) {
  (window.captioningReports ??= []).push(event);
  window.dispatchEvent(new Event("captioning"));
}
