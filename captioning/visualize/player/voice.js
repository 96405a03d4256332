"use strict";

/* The browser's voice, which says the words in step. It is off at first, and not offered where the browser has none. */

/** Returns {say, close}: `say(word)` says it if somebody has switched the voice on. */
function createVoice(root) {
  const offer = root.querySelector('[data-part="voice"]');
  const on = offer.querySelector("input");
  const voice = window.speechSynthesis;
  const listening = new AbortController();
  const look = () => (offer.hidden = !voice?.getVoices().length);
  // A browser may find its voices later.
  voice?.addEventListener("voiceschanged", look, { signal: listening.signal });
  look();
  on.onchange = () => voice.cancel();

  function say(word) {
    if (!on.checked) return;
    voice.cancel();
    voice.speak(new SpeechSynthesisUtterance(word));
  }

  function close() {
    listening.abort();
    if (on.checked) voice.cancel();
  }

  return { say, close };
}
