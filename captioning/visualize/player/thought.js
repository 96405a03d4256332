"use strict";

/* What the model thinks at a step: the word that it says, its probability, and what it could say instead. */

// Words that are offered to complete what is typed.
const COMPLETIONS = 8;
let fields = 0;

/** Whether the second of two captions of one photo follows from other words alone. */
function followsFromWords([, other]) {
  return Boolean(other?.steps.some((step) => step.forced) && !other.hidden.length);
}

/**
 * Show a step of a pane's caption. `say(word)` is called with another word that is chosen or typed, one of the
 * vocabulary; without it none can be.
 */
function showThought(pane, at, say, vocabulary) {
  const step = pane.caption.steps[at];
  const says = make("p", "label", step.end ? "The caption ends here" : step.forced ? "It was made to say" : "It says");
  const now = make("p", "now", step.label);
  now.dir = "auto";
  now.append(" ", make("span", "", percent(step.probability)));
  const others = make("p", "label", "Its likeliest words here");
  others.append(help("Each with its probability, given the photo and the words before it. A caption says most words once: those that it has said are passed over."));
  const list = make("div", "likely");
  list.append(...step.alternatives.map((alternative) => makeRow(alternative, alternative[0] === step.word, say)));
  const shown = pane.thought.firstChild;
  const row = [...shown.querySelectorAll(".row")].indexOf(focusedIn(shown));
  shown.replaceChildren(says, now, others, list);
  if (say) {
    // It stays while the player steps on, with what is typed.
    const field = pane.thought.querySelector("form") ?? shown.parentNode.insertBefore(makeField(vocabulary), shown.nextSibling);
    field.onsubmit = (event) => {
      event.preventDefault();
      const word = typedIn(field);
      const problem = refuse(word, pane.caption.steps[at - 1]?.word, vocabulary);
      field.firstChild.setCustomValidity(problem);
      if (!problem) say(word);
      field.firstChild.reportValidity();
    };
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

/** A field for any other word, which completes what is typed. */
function makeField(vocabulary) {
  const form = make("form", "other");
  const field = make("input");
  const words = make("datalist");
  words.id = `words-${++fields}`;
  Object.assign(field, { type: "text", placeholder: "or type another word", autocomplete: "off", ariaLabel: "Another word" });
  field.setAttribute("list", words.id);
  field.oninput = () => {
    field.setCustomValidity("");
    const typed = typedIn(form);
    const fitting = typed ? vocabulary.filter((word) => word.startsWith(typed)) : [];
    words.replaceChildren(...fitting.slice(0, COMPLETIONS).map((word) => new Option(word)));
  };
  form.append(field, words);
  form.append(make("p", "hint", "Choose one to see the rest of that sentence, or drag over the photo to hide a part."));
  return form;
}

function typedIn(form) {
  return form.firstChild.value.trim().toLowerCase();
}

/** Why a word cannot be said after another one, in a sentence; empty if it can. */
function refuse(word, before, vocabulary) {
  if (!vocabulary.includes(word)) return `This model has no word “${word}”: type another.`;
  return word === before ? `A caption does not say “${word}” twice in a row: type another.` : "";
}
