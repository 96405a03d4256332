"use strict";

/*
 * Touching the photo: each word is shaded by how much of its attention is in the cell under the pointer, or in one that
 * the arrow keys move, after T, or Enter on the photo.
 */

// Rows and columns by which the keys of these actions move the cell.
const MOVES = { next: [0, 1], previous: [0, -1], nextLook: [1, 0], previousLook: [-1, 0] };
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

/**
 * Touching with the keyboard. `shown()` gives {panes, grid}.
 * Returns {offer, toggle, move, leave}.
 */
function createTouching(root, shown) {
  const status = root.querySelector('[data-part="touched"]');
  let cell = null;

  /** Let a pane's photo be touched. */
  function offer(pane) {
    pane.canvas.tabIndex = 0;
    pane.canvas.setAttribute("aria-description", "Enter touches it: arrow keys then move on it, and Escape ends.");
    pane.canvas.onkeydown = ({ key }) => {
      if (key === "Enter") toggle(pane);
    };
    pane.canvas.onblur = leave;
  }

  /** Touch the middle of the photo, or let go. */
  function toggle(pane) {
    if (leave()) return;
    pane.canvas.focus();
    const { rows, columns } = shown().grid;
    put(Math.floor(rows / 2), Math.floor(columns / 2));
  }

  function put(row, column) {
    const { panes, grid } = shown();
    cell = { row: clamp(row, grid.rows), column: clamp(column, grid.columns) };
    for (const pane of panes) touch(pane, cell, grid);
    const said = panes.map(({ figure }) => figure.querySelector("figcaption").textContent).join("; ");
    status.textContent = `Row ${cell.row + 1}, column ${cell.column + 1}: ${said}`;
  }

  /** Move the cell, if there is one, as the key of an action does; false if it does not. */
  function move(action) {
    if (!cell || !MOVES[action]) return false;
    const [down, right] = MOVES[action];
    put(cell.row + down, cell.column + right);
    return true;
  }

  /** Let go; false if nothing is touched. */
  function leave() {
    if (!cell) return false;
    cell = null;
    status.textContent = "";
    shown().panes.forEach(letGo);
    return true;
  }

  return { offer, toggle, move, leave };
}
