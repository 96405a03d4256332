"use strict";

/*
 * The words one after the other, at the pace that is chosen.
 *
 * createPlaying(root, next) returns {toggle, stop}:
 *   toggle(begin)  begins, after begin() has gone to the first word, or stops.
 *   next()  makes the next word the current one, and says whether it is the last.
 */

function createPlaying(root, next) {
  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  let timer = null;

  function tick() {
    timer = setTimeout(() => {
      if (next()) stop();
      else tick();
    }, Number(part("pace").value));
  }

  function stop() {
    clearTimeout(timer);
    timer = null;
    show();
  }

  function show() {
    root.querySelector(".player").classList.toggle("playing", timer !== null);
    part("play").setAttribute("aria-label", timer === null ? "Play" : "Pause");
  }

  return {
    stop,
    toggle(begin) {
      if (timer !== null) return stop();
      begin();
      tick();
      show();
    },
  };
}
