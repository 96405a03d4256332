
/*
 * The player as a Streamlit component. The address bar is kept up to date here, without asking the server. The server is
 * told the look at once, for files to take away have it, but the word only once nothing on the page has been touched for
 * a second, so that what it writes into the address agrees: Streamlit may drop a click that comes with another message.
 */

const PAUSE = 1000;
const TOUCHES = ["pointerdown", "pointerup", "keydown", "input"];
const players = new WeakMap();

export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const mounted = players.get(parentElement) ?? mount(parentElement);
  mounted.tell = { setStateValue, setTriggerValue };
  mounted.player.show(data, mounted.start);
  mounted.start = {};
  // Streamlit may end an earlier call late, when a later one has already taken over.
  const call = (mounted.call = {});
  return () => {
    if (mounted.call === call) mounted.close();
  };
}

function mount(root) {
  const address = new URL(window.location.href).searchParams;
  const mounted = { start: { word: Number(address.get("word")), look: address.get("look") } };
  const listening = new AbortController();
  let untold = false;
  let waiting;
  const tell = () => {
    clearTimeout(waiting);
    untold = false;
    mounted.tell.setStateValue("at", mounted.player.place());
  };
  const wait = () => {
    clearTimeout(waiting);
    if (untold) waiting = setTimeout(tell, PAUSE);
  };
  mounted.player = createPlayer(root, {
    said: (what) => mounted.tell.setTriggerValue("said", what),
    looked(place) {
      write(place);
      tell();
    },
    moved(place) {
      write(place);
      untold = !place.playing;
      wait();
    },
  });
  for (const touch of TOUCHES) {
    window.addEventListener(touch, wait, { capture: true, signal: listening.signal });
  }
  mounted.close = () => {
    mounted.player.close();
    listening.abort();
    clearTimeout(waiting);
    players.delete(root);
  };
  players.set(root, mounted);
  return mounted;
}

/** Put a place into the address. */
function write({ word, look }) {
  const address = new URL(window.location.href);
  address.searchParams.set("word", word);
  address.searchParams.set("look", look);
  window.history.replaceState(window.history.state, "", address);
}
