
/*
 * The player as a Streamlit component. The address bar is kept up to date here, without asking the server; the server
 * is told where we are only once somebody stops, so that what it writes into the address agrees.
 */

const PAUSE = 500;
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
  let waiting = null;
  mounted.player = createPlayer(root, {
    said: (what) => mounted.tell.setTriggerValue("said", what),
    moved({ playing, ...where }) {
      const address = new URL(window.location.href);
      address.searchParams.set("word", where.word);
      address.searchParams.set("look", where.look);
      window.history.replaceState(window.history.state, "", address);
      clearTimeout(waiting);
      if (!playing) waiting = setTimeout(() => mounted.tell.setStateValue("at", where), PAUSE);
    },
  });
  mounted.close = () => {
    clearTimeout(waiting);
    mounted.player.close();
    players.delete(root);
  };
  players.set(root, mounted);
  return mounted;
}
