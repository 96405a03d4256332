"use strict";

/*
 * Sends the server what somebody does in the page's components, and going back and forward, as numbered events; see
 * events.py. Other components report theirs with `report` of report.js, and learn there which are not applied yet.
 */

// Milliseconds after which events that the server has not applied are sent again.
const AGAIN = 5000;

let waiting = [];
let count = 0;
let channel = null;
let timer = null;

/** Send what was reported; without a channel it is left for later. */
function send() {
  if (!channel || !window.captioningReports?.length) return;
  const reports = window.captioningReports.splice(0);
  const { session } = channel;
  const numbered = reports.map((event) => ({ ...event, number: ++count, session }));
  waiting = [...waiting, ...numbered];
  // The number of the last event of each name.
  if (window.captioningSent?.session !== session) window.captioningSent = { session, numbers: {} };
  for (const { name, number } of numbered) window.captioningSent.numbers[name] = number;
  deliver();
}

/** Send the events that wait, and again after some time: a request can be lost, and each event is applied once. */
function deliver() {
  clearTimeout(timer);
  channel.setState(waiting.map((event) => ({ ...event, sent: Date.now() })));
  timer = setTimeout(deliver, AGAIN);
}

window.addEventListener("captioning", send);
// Streamlit has asked for a run already, which tells the page nothing.
window.addEventListener("popstate", () => report({ name: "went", address: window.location.search }));

export default function ({ data: [session, applied], setStateValue }) {
  waiting = waiting.filter((event) => event.session === session && event.number > applied);
  if (!waiting.length) clearTimeout(timer);
  channel = { session, setState: (events) => setStateValue("events", events) };
  send();
}
