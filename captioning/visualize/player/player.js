"use strict";

/*
 * The step-through: a photo, the words of one caption or of two beside each other, and for each word the attention
 * over the photo. It draws the player data that data.py describes, and sends no requests.
 *
 * createPlayer(root, hooks) finds its controls in `root` (player.html) and returns {show, moveTo, lookAs, present, close}:
 *   show(data, {word, look})  draws a photo with its captions, unless they are shown already, from a word on; words
 *                             count from 1. At 0 there is the photo alone, and nothing was said yet; two captions begin
 *                             at 1. The look is set at the first call.
 *   moveTo(word)  makes a word the current one.
 *   lookAs(look)  draws attention another way.
 *   present()  begins the presentation, without going full screen.
 *   hooks.moved(word)  another word is the current one, or the captions are others.
 *   hooks.looked(look)  somebody chose another look.
 *   hooks.presented(presenting)  the presentation began or ended.
 *   hooks.changed({data, said, hidden})  somebody has a caption begin with the words `said`, or hid a part of its photo;
 *                                        `hidden` are all rectangles [left, top, right, bottom] that are hidden then.
 *   hooks.undone()  somebody takes the last change back.
 *   hooks.probed(data)  somebody asks what mattered for the words.
 *   hooks.link()  the address that brings back what is shown; empty where none does.
 *   hooks.turned(by)  somebody asks for the next photo (1) or the one before (-1).
 * `data` is the id of the player data.
 *
 * Of the files that are read before this one, pane.js shows one caption, looks.js has the controls of how attention is
 * drawn, playing.js goes from word to word, keys.js says with which keys, overlay.js draws attention with resize.js,
 * thought.js shows the likeliest words, occlusion.js explains what mattered, presenting.js fills the screen, touching.js
 * shows what looked at a place and hiding.js hides one, voice.js says the words and copying.js copies them.
 *
 * Whatever comes from a checkpoint or a file is inserted as text, never as HTML.
 */

function createPlayer(root, hooks = {}) {
  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  const player = root.querySelector(".player");
  let data = null;
  let panes = [];
  let word = -1;
  // How many words have been said: they appear one by one, but for screen readers, which have them all.
  let said = 0;

  function show(next, start = {}) {
    // What was asked to be hidden, and was refused.
    player.querySelector(".hidden-part")?.remove();
    if (data && data.id === next.id) return;
    playing.stop();
    if (data?.photo.url !== next.photo.url) said = 0;
    data = next;
    const count = Math.max(...data.captions.map((caption) => caption.steps.length));
    part("word").max = count;
    part("word").min = nearest(-1) + 1;
    word = nearest((start.word ?? 0) - 1);
    looks.offer(data, start.look);
    hiding.leave();
    touching.leave();
    const hadFocus = Boolean(focusedIn(root)?.closest("[data-made]"));
    build();
    const photo = new Image();
    photo.onload = () => {
      if (data !== next) return;
      for (const pane of panes) pane.photo = withHidden(photo, pane.caption.hidden, data.gray);
      draw();
    };
    photo.src = data.photo.url;
    mark();
    findOut();
    // The control that was used, such as an alternative or the page's Undo, may be gone.
    if (hadFocus || (keys.areUsed() && document.activeElement === document.body)) {
      (panes[0].words[current(panes[0])] ?? panes[0].canvas).focus({ preventScroll: true });
    }
    hooks.moved?.(word + 1);
  }

  // The page's elements

  function build() {
    for (const element of player.querySelectorAll("[data-made]")) element.remove();
    const stacked = followsFromWords(data.captions);
    player.classList.toggle("stacked", stacked);
    player.classList.toggle("pair", data.captions.length > 1 && !stacked);
    player.style.setProperty("--ratio", data.photo.width / data.photo.height);
    panes = data.captions.map((caption, index) => createPane(caption, data.captions[0], index, data.photo, chosen));
    const controls = part("controls");
    for (const pane of panes) controls.before(pane.heading, pane.figure, pane.sentence);
    for (const pane of panes) {
      if (data.captions.length > 1) player.append(pane.thought);
      else controls.before(pane.thought);
    }
    for (const pane of panes) player.append(pane.strip);
    bringForward(panes.at(-1));
    for (const pane of panes) {
      pane.figure.onpointermove = pane.figure.onpointerdown = (event) => reach(event, pane.canvas);
      pane.figure.onpointerleave = () => touching.leave() || panes.forEach(letGo);
      pane.strip.onscroll = () => fadeStrip(pane);
      touching.offer(pane);
      if (data.what_if) hiding.offer(pane);
      sizes.observe(pane.canvas);
    }
  }

  const chosen = {
    word(pane, at) {
      bringForward(pane);
      moveTo(at);
    },
    step: (at) => moveTo(at),
  };

  /** Say which words looked at the place of the photo that is pointed at. */
  function reach(event, canvas) {
    const cell = cellAt(event, canvas, data.grid);
    for (const pane of panes) touch(pane, cell, data.grid);
  }

  /** Show the photo of a caption where captions share one. */
  function bringForward(pane) {
    for (const each of panes) {
      for (const part of [each.figure, each.thought, each.strip]) part.classList.toggle("behind", each !== pane);
    }
  }

  /** Ask what mattered where the look is that and it is not known. */
  function findOut() {
    explainOcclusion(part("note"), looks.view.look, data.captions);
    if (lacksOcclusion(looks.view.look, data.captions)) hooks.probed?.(data.id);
  }

  const looks = createLooks(root, {
    drawn: draw,
    looked() {
      mark();
      findOut();
    },
    chose: (look) => hooks.looked?.(look),
  });

  // Where we are

  function count() {
    return Number(part("word").max);
  }

  /** The nearest word that there is; before the first, -1, unless two captions are compared. */
  function nearest(at) {
    return Math.max(Math.min(at, count() - 1), data.captions.length > 1 ? 0 : -1);
  }

  function moveTo(to, fades = true) {
    to = nearest(to);
    if (to === word) return;
    word = to;
    mark();
    for (const pane of panes) {
      if (fades && pane.photo) fadeOut(pane.canvas);
      drawStep(pane);
    }
    const step = panes.at(-1).caption.steps[word];
    if (step && !step.end) voice.say(step.label);
    hooks.moved?.(word + 1);
  }

  /** Mark the current word wherever words stand. */
  function mark() {
    const isAll = data.captions.length > 1 || word === count() - 1;
    said = word < 0 ? 0 : isAll ? Infinity : Math.max(said, word + 1);
    player.classList.toggle("opening", word < 0);
    part("word").value = word + 1;
    fill(part("word"));
    const now = panes[0].caption.steps[current(panes[0])]?.label ?? "nothing yet";
    part("word").setAttribute("aria-valuetext", `${now}, ${word + 1}`);
    part("place").replaceChildren(make("span", "unseen", `${now}, `), `${word + 1} / ${count()}`);
    part("previous").disabled = word === nearest(-1);
    part("next").disabled = word === count() - 1;
    for (const pane of panes) {
      const at = current(pane);
      markStep(pane, at, said);
      pane.canvas.setAttribute("aria-label", describePicture(pane, pane.caption.steps[at], looks.view, data));
      // Before the first word its thought takes its room, unseen.
      const thought = Math.max(at, 0);
      showThought(pane, thought, data.what_if && ((name) => change(pane, thought, [name], [])), data.vocabulary);
    }
  }

  function current(pane) {
    return Math.min(word, pane.caption.steps.length - 1);
  }

  function draw() {
    for (const pane of panes) {
      drawStep(pane);
      drawStrip(pane, looks.view, data);
    }
  }

  function drawStep(pane) {
    drawPicture(pane, pane.caption.steps[current(pane)], looks.view, data);
  }

  // What somebody does

  /** A step that a person takes: it ends the playing. */
  function step(by) {
    playing.stop();
    moveTo(word + by);
  }

  const playing = createPlaying(root, () => {
    moveTo(word + 1);
    return word === count() - 1;
  });

  function play() {
    playing.toggle(() => {
      if (word < 0 || word === count() - 1) moveTo(0);
    });
  }

  part("word").oninput = (event) => step(Number(event.target.value) - 1 - word);
  const presented = (on) => {
    part("present").setAttribute("aria-pressed", on);
    hooks.presented?.(on);
  };
  const presentation = createPresentation(root, presented, offers);
  const voice = createVoice(root);
  offerCopies(root, () => data.captions.map(({ text }) => text), hooks.link);
  part("close-keys").onclick = presentation.showKeys;

  /** Report a change of a caption, which keeps its first `count` words and the parts hidden already. */
  function change({ caption: { steps, hidden } }, count, words, rectangles) {
    const said = [...steps.slice(0, count).map((step) => step.word), ...words];
    hooks.changed?.({ data: data.id, said, hidden: [...hidden, ...rectangles] });
  }

  const hiding = createHiding((pane, rectangle) => {
    // It goes on saying what it was made to say.
    const made = pane.caption.steps.findIndex((step) => step.forced) + 1;
    change(pane, made, [], [rectangle]);
  });

  const touching = createTouching(root, () => ({ panes, grid: data.grid }));

  /** Whether an action of KEYS has an effect here. */
  function offers(action) {
    if (action === "hide" || action === "undo") return data.what_if;
    return !["nextPhoto", "previousPhoto"].includes(action) || Boolean(hooks.turned);
  }

  const dismiss = greet(part("first-visit"));
  const actions = {
    next: () => step(1),
    previous: () => step(-1),
    first: () => step(-word),
    last: () => step(count()),
    play,
    nextLook: () => looks.chooseNext(1),
    previousLook: () => looks.chooseNext(-1),
    plain: looks.togglePlain,
    nextPhoto: () => hooks.turned(1),
    previousPhoto: () => hooks.turned(-1),
    present: () => presentation.set(!presentation.isOn()),
    blank: presentation.toggleBlank,
    help: presentation.showKeys,
    touch: () => touching.toggle(panes[0]),
    hide: () => hiding.toggle(panes.at(-1)),
    undo: () => hooks.undone?.(),
    leave: () => touching.leave() || hiding.leave() || presentation.leave(),
  };
  for (const name of ["previous", "play", "next", "present"]) part(name).onclick = actions[name];
  const keys = listenToKeys((action) => {
    if (!data || !offers(action)) return false;
    if (touching.move(action)) return;
    const focused = focusedIn(root);
    if (actions[action]() === false) return false;
    dismiss();
    // A word that has the focus hands it on to the current one.
    for (const pane of panes) {
      for (const made of [pane.words, pane.frames]) if (made.includes(focused)) made[current(pane)]?.focus();
    }
  });
  const sizes = new ResizeObserver(() => {
    for (const pane of panes) {
      drawStep(pane);
      fadeStrip(pane);
    }
  });

  return {
    show,
    moveTo: (to) => moveTo(to - 1, false),
    lookAs: looks.lookAs,
    present: () => presentation.set(true, false),
    close() {
      playing.stop();
      voice.close();
      presentation.close();
      sizes.disconnect();
      keys.close();
    },
  };
}
