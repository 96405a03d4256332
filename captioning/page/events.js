"use strict";

/*
 * Sends the server what somebody does in the page's components, and going back and forward, as numbered events; see
 * events.py. Other components report theirs with `report` of report.js, and learn there which are not applied yet.
 */

// Milliseconds after which events that the server has not applied are sent again, and after which an address has come.
const AGAIN = 5000;
const COME = 1000;

let waiting = [];
let count = 0;
let channel = null;
let timer = null;
let watch = null;
let missed = null;

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

/** Ask once for an address that the page should have and has not, unless it has just gone to another. */
function seek(address) {
  const own = [...new URLSearchParams(window.location.search)].filter(([name]) => !name.startsWith("embed"));
  const [found, wanted] = [own, address].map((pairs) => JSON.stringify(pairs));
  if (found === wanted) {
    missed = null;
  } else if (missed !== wanted && !waiting.some(({ name }) => name === "went")) {
    missed = wanted;
    report({ name: "astray" });
  }
}

export default function ({ data: [session, applied, address], setStateValue }) {
  waiting = waiting.filter((event) => event.session === session && event.number > applied);
  if (!waiting.length) clearTimeout(timer);
  clearTimeout(watch);
  watch = setTimeout(() => seek(address), COME);
  channel = { session, setState: (events) => setStateValue("events", events) };
  send();
}
