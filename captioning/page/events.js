"use strict";

/*
 * Sends the server what somebody does in the page's components, and going back and forward, as numbered events; see
 * events.py. Other components report theirs with `report` of report.js.
 */

let waiting = [];
let count = 0;
let channel = null;

function send(event) {
  if (!channel) return;
  waiting = [...waiting, { ...event, number: ++count, session: channel.session }];
  channel.setState(waiting);
}

window.addEventListener("captioning", ({ detail }) => send(detail));
// Streamlit has asked for a run already, which tells the page nothing.
window.addEventListener("popstate", () => send({ name: "went", address: window.location.search }));

export default function ({ data: [session, applied], setStateValue }) {
  waiting = waiting.filter((event) => event.session === session && event.number > applied);
  channel = { session, setState: (events) => setStateValue("events", events) };
}
