"use strict";

/** Report what somebody did in a component, {name, …}, to the page's events.js, which may be loaded later than it. */
function report(event) {
  (window.captioningReports ??= []).push(event);
  window.dispatchEvent(new Event("captioning"));
}

/**
 * Whether what the server says is older than what somebody did since: it has not applied all events of this name.
 * The first argument is the server's session, and the number of the last event that it had applied then.
 */
function isOlder([session, applied], name) {
  if (window.captioningReports?.some((event) => event.name === name)) return true;
  const sent = window.captioningSent;
  return sent?.session === session && sent.numbers[name] > applied;
}
