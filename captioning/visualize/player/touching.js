"use strict";

/* Touching the photo: each word is shaded by how much of its attention is in the cell under the pointer. */

// Words that are named beside the cell.
const NAMED_WORDS = 3;

/** The cell of a feature grid {rows, columns} under a pointer over an element. */
function cellAt(event, element, { rows, columns }) {
  const { left, top, width, height } = element.getBoundingClientRect();
  const within = (share, count) => clamp(Math.floor(share * count), count);
  return {
    row: within((event.clientY - top) / height, rows),
    column: within((event.clientX - left) / width, columns),
  };
}

/** Mark a cell on the photo of a pane, and shade its words. */
function touch(pane, { row, column }, { rows, columns }) {
  const shares = pane.caption.steps.map((step) => step.attention[row * columns + column]);
  const most = Math.max(...shares);
  pane.words.forEach((word, at) => word.style.setProperty("--share", shares[at] / most));
  pane.sentence.classList.add("touched");
  const named = pane.caption.steps
    .map(({ label }, at) => ({ label, share: shares[at] }))
    .filter((_, at) => !pane.words[at].classList.contains("unsaid"))
    .sort((one, other) => other.share - one.share)
    .slice(0, NAMED_WORDS);
  const cell = pane.figure.querySelector(".cell") || pane.figure.appendChild(make("div", "cell"));
  Object.assign(cell.style, {
    left: `${(100 * column) / columns}%`,
    top: `${(100 * row) / rows}%`,
    width: `${100 / columns}%`,
    height: `${100 / rows}%`,
  });
  const caption = pane.figure.querySelector("figcaption") || pane.figure.appendChild(make("figcaption"));
  caption.textContent = named.map(({ label, share }) => `${label} ${percent(share)}`).join(", ") || "nothing said yet";
  caption.classList.toggle("above", row >= rows / 2);
}

function letGo(pane) {
  pane.sentence.classList.remove("touched");
  for (const mark of pane.figure.querySelectorAll(".cell, figcaption")) mark.remove();
}
