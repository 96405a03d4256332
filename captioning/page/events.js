"use strict";

/*
 * Sends the server what somebody does in the page's components, and going back and forward, as numbered events; see
 * events.py. Other components report theirs with `report` of report.js, and learn there which are not applied yet.
 */

window.captioningWaiting = [];
let count = 0;
let channel = null;

/** Send what was reported; without a channel it is left for later. */
function send() {
  if (!channel || !window.captioningReports?.length) return;
  const reports = window.captioningReports.splice(0);
  const numbered = reports.map((event) => ({ ...event, number: ++count, session: channel.session }));
  window.captioningWaiting = [...window.captioningWaiting, ...numbered];
  channel.setState(window.captioningWaiting);
}

window.addEventListener("captioning", send);
// Streamlit has asked for a run already, which tells the page nothing.
window.addEventListener("popstate", () => report({ name: "went", address: window.location.search }));

export default function ({ data: [session, applied], setStateValue }) {
  window.captioningWaiting = window.captioningWaiting.filter(
    (event) => event.session === session && event.number > applied,
  );
  channel = { session, setState: (events) => setStateValue("events", events) };
  send();
  window.dispatchEvent(new Event("captioning applied"));
}
