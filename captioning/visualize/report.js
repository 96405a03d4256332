"use strict";

/** Report what somebody did in a component, {name, …}, to the page's events.js, which may be loaded later than it. */
function report(event) {
  (window.captioningReports ??= []).push(event);
  window.dispatchEvent(new Event("captioning"));
}

/**
 * Show in an element what the server says, once it has applied all events of this name; until then what somebody did
 * is newer. Of several calls for an element the last counts.
 */
function showOnceApplied(element, name, show) {
  const reported = () => [...(window.captioningReports ?? []), ...(window.captioningWaiting ?? [])];
  const again = () => {
    if (element.isConnected) element.shows();
    else window.removeEventListener("captioning applied", again);
  };
  if (!element.shows) window.addEventListener("captioning applied", again);
  element.shows = () => reported().some((event) => event.name === name) || show();
  element.shows();
}
