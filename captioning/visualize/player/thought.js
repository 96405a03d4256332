"use strict";

/* What the model thinks at a step: the word that it says, its probability, and the words that it nearly said. */

/** Show a step of a pane's caption. `say(word)` is called with another word that is chosen; without it none can be. */
function showThought(pane, at, say) {
  const step = pane.caption.steps[at];
  const says = make("p", "label", step.end ? "The caption ends here" : step.forced ? "It was made to say" : "It says");
  const now = make("p", "now", step.label);
  now.dir = "auto";
  now.append(" ", make("span", "", percent(step.probability)));
  const others = make("p", "label", "Its likeliest words here");
  others.append(help("Each with its probability, given the photo and the words before it."));
  const list = make("div", "likely");
  list.append(...step.alternatives.map((alternative) => makeRow(alternative, alternative[0] === step.word, say)));
  const shown = pane.thought.firstChild;
  const row = [...shown.querySelectorAll(".row")].indexOf(focusedIn(shown));
  shown.replaceChildren(says, now, others, list);
  if (say) {
    shown.append(make("p", "hint", "Choose one to see the rest of that sentence, or drag over the photo to hide a part."));
  }
  // Whoever stands on an alternative stands on that of the next word, or on the one beside what is said.
  if (row >= 0) [list.children[row], list.children[row + 1], list.children[row - 1]].find(isButton)?.focus();
}

/** An alternative with its bar, to be chosen unless it is what is said. */
function makeRow([name, label, probability], said, say) {
  const row = make(say && !said ? "button" : "div", said ? "row said" : "row");
  const bar = make("span", "bar");
  bar.append(make("span"));
  bar.firstChild.style.width = `${100 * probability}%`;
  row.append(make("span", "name", label), bar, make("span", "share", percent(probability)));
  if (isButton(row)) {
    row.type = "button";
    row.title = `What if it said “${label}” here?`;
    row.onclick = () => say(name);
  }
  return row;
}
