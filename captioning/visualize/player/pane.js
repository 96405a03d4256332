"use strict";

/*
 * One caption on the page: its photo, its words, what the model thought, and the film strip.
 *
 * createPane(caption, first, index, photo, on) returns {caption, heading, figure, canvas, scale, sentence, words, thought, strip,
 * frames, photo}: elements, and the photo to draw, which is null until it is loaded.
 *   first  the caption beside which its words are marked as new.
 *   index  counts captions that stand beside each other.
 *   photo  its width and height.
 *   on.word(pane, at)  somebody chose the word `at` of the sentence.
 *   on.step(at)  somebody chose a word elsewhere.
 */

const STRIP_HEIGHT = 72;

function createPane(caption, first, index, photo, on) {
  const made = (tag, name) => {
    const element = make(tag, name);
    element.dataset.made = "";
    element.style.setProperty("--column", index + 1);
    return element;
  };
  const heading = made("div", "heading");
  heading.append(make("h3", "", caption.heading), make("p", "score", caption.note));
  const figure = made("figure", "picture");
  const canvas = make("canvas");
  canvas.setAttribute("role", "img");
  const scale = make("p", "scale");
  figure.append(canvas, scale);
  const sentence = made("p", "sentence");
  // From right to left where its words are written so.
  sentence.dir = "auto";
  sentence.setAttribute("aria-label", caption.text);
  const isNew = newWords(...[caption, first].map(({ steps }) => steps.map((step) => step.word)));
  const words = caption.steps.map((step, at) => wordButton(step, isNew[at], () => on.word(pane, at)));
  for (const word of words) sentence.append(word, " ");
  const thought = made("div", "thought");
  thought.append(make("div"));
  if (caption.sureness !== null) thought.append(surenessButton(caption, on.step));
  const strip = made("div", "strip");
  strip.setAttribute("role", "group");
  strip.setAttribute("aria-label", "All words with their attention");
  const frames = caption.steps.map((step, at) => frameButton(step, photo, () => on.step(at)));
  strip.append(...frames);
  const pane = { caption, heading, figure, canvas, scale, sentence, words, thought, strip, frames, photo: null };
  return pane;
}

/** Mark a step where the words stand, and bring it to the middle of the film strip; the first `said` words are shown. */
function markStep({ words, strip, frames }, at, said) {
  for (const made of [words, frames]) {
    made.forEach((element, index) => {
      element.classList.toggle("current", index === at);
      element.classList.toggle("unsaid", index >= said);
      if (index === at) element.setAttribute("aria-current", "step");
      else element.removeAttribute("aria-current");
    });
  }
  const frame = frames[Math.max(at, 0)];
  strip.scrollLeft = frame.offsetLeft - strip.offsetLeft - (strip.clientWidth - frame.offsetWidth) / 2;
}

/** Let the film strip fade at an edge behind which there is more of it. */
function fadeStrip({ strip }) {
  strip.classList.toggle("more-before", strip.scrollLeft > 1);
  strip.classList.toggle("more-after", strip.scrollLeft + strip.clientWidth < strip.scrollWidth - 1);
}

/** Draw a pane's photo with a step, or the photo alone where there is none, as large as it stands on the page. */
function drawPicture(pane, step, view, data) {
  showScale(pane.scale, step, view, data);
  if (!pane.photo) return;
  const width = Math.round(pane.canvas.clientWidth * (window.devicePixelRatio || 1));
  if (!width) return;
  const height = Math.round((width * data.photo.height) / data.photo.width);
  if (pane.canvas.width !== width) pane.canvas.width = width;
  if (pane.canvas.height !== height) pane.canvas.height = height;
  paint(pane.canvas, pane.photo, step, Math.max(2, width / 320), view, data);
}

function drawStrip({ photo, frames, caption }, view, data) {
  if (!photo) return;
  frames.forEach((frame, at) => paint(frame.firstChild, photo, caption.steps[at], 1.5, view, data));
}

/** The picture of a step, or the photo where there is none, in words. */
function describePicture({ caption: { hidden } }, step, view, data) {
  const seen = hidden.length ? `${data.title}, parts of it hidden` : data.title;
  if (!step) return `${seen}, before the first word`;
  if (view.look === OCCLUSION) return `${seen}, with what mattered for the word ${step.label}`;
  const flat = lookedEverywhere(step, data) ? ": it looked everywhere" : "";
  return `${seen}, with the model's attention while choosing the word ${step.label}${flat}`;
}

function wordButton(step, isNew, onclick) {
  const button = make("button", step.end ? "word end" : "word", step.label);
  const title = `${step.label}: ${percent(step.probability)}${isNew ? ", another word than before" : ""}`;
  Object.assign(button, { type: "button", title, onclick });
  button.classList.toggle("changed", isNew);
  button.classList.toggle("forced", step.forced);
  button.style.setProperty("--probability", step.probability);
  return button;
}

function frameButton(step, photo, onclick) {
  const button = make("button", "frame");
  const small = make("canvas");
  small.height = STRIP_HEIGHT * 2;
  small.width = Math.round((small.height * photo.width) / photo.height);
  small.setAttribute("aria-hidden", "true");
  button.append(small, make("span", "", step.label));
  return Object.assign(button, { type: "button", onclick });
}

function surenessButton({ steps, sureness }, onStep) {
  const sureOf = steps.filter((step) => !step.end).map((step) => step.probability);
  const onclick = () => onStep(sureOf.indexOf(Math.min(...sureOf)));
  const button = make("button", "sure", describeSureness(sureness));
  return Object.assign(button, { type: "button", title: "To its least likely word", onclick });
}

/** How sure the model is, in words, of a caption at this percentile of the photos that it was tested on. */
function describeSureness(percentile) {
  const unsure = percentile < 50;
  const label = percentile < 10 ? "Unusually unsure" : unsure ? "Rather unsure" : "Rather sure";
  const share = Math.round(unsure ? 100 - percentile : percentile);
  return `${label}: ${unsure ? "less sure" : "surer"} than on ${share}% of the photos that it was tested on`;
}
