
/*
 * The player as a Streamlit component. The word where somebody is stands behind the # of the address, which is the
 * browser's own: to step and to play asks the server for nothing, so that no run of the page falls together with
 * anything else that is done on it. Behind the # is also whether the page presents.
 *
 * What the server needs to know is an event for the page's events.js: the look that was chosen, because downloads are
 * drawn with it; words to be said instead and parts of the photo to be hidden, and to take that back; what mattered, if
 * somebody wants to see it; and the next photo.
 */

const players = new WeakMap();
// With the address that the page was opened with; the server may have written one since, without what is behind its #.
const [opened] = performance.getEntriesByType("navigation");
// Where somebody is, or was when there was a player last; at first, whatever the photo, what the address names.
const place = { photo: null, word: wordIn(opened.name) || 0, presenting: hashOf(opened.name).has("present") };

export default function ({ data: [content, about, changes], parentElement }) {
  const mounted = players.get(parentElement) ?? mount(parentElement);
  Object.assign(mounted, { about, changes });
  // Another caption of the same photo starts at the current word.
  const word = place.photo === null || place.photo === content.photo.url ? place.word : 0;
  place.photo = content.photo.url;
  mounted.player.show(content, { word, look: lookOf(window.location.href) });
  if (place.presenting) mounted.player.present();
  // Streamlit may end an earlier call late, when a later one has already taken over.
  const call = (mounted.call = {});
  return () => {
    if (mounted.call === call) mounted.close();
  };
}

function mount(root) {
  const listening = new AbortController();
  const mounted = {};
  mounted.player = createPlayer(root, {
    changed: ({ said, hidden }) => report({ name: "change", said, hidden, about: mounted.about }),
    undone: () => report({ name: "undo", left: Math.max(mounted.changes - 1, 0) }),
    probed: (data) => report({ name: "probe", data }),
    looked: (look) => report({ name: "look", look }),
    // A photo of somebody's own is in no address.
    link: () => (new URL(window.location.href).searchParams.has("photo") ? window.location.href : ""),
    turned: (by) => report({ name: "turn", by }),
    presented(on) {
      place.presenting = on;
      write();
    },
    moved(word) {
      place.word = word;
      write();
    },
  });
  // The server has written the address, or somebody has, or went back.
  const follow = (event) => {
    const word = wordIn(window.location.href);
    if (!Number.isNaN(word)) mounted.player.moveTo(word);
    // An address that the server writes may be older than the look.
    if (event.navigationType === "traverse") mounted.player.lookAs(lookOf(window.location.href));
    write();
  };
  window.navigation?.addEventListener("currententrychange", follow, { signal: listening.signal });
  mounted.close = () => {
    listening.abort();
    mounted.player.close();
    players.delete(root);
  };
  players.set(root, mounted);
  return mounted;
}

function write() {
  const address = new URL(window.location.href);
  address.hash = `word=${place.word}${place.presenting ? "&present" : ""}`;
  if (address.href !== window.location.href) window.history.replaceState(window.history.state, "", address);
}

function lookOf(address) {
  return new URL(address).searchParams.get("look");
}

/** The word that an address names, 0 before the first; NaN if it names none. */
function wordIn(address) {
  return Number.parseInt(hashOf(address).get("word"), 10);
}

/** What stands behind the # of an address. */
function hashOf(address) {
  return new URLSearchParams(new URL(address).hash.slice(1));
}
