"use strict";

/*
 * A beam search as a tree, from left to right: a column a step, in it the prefixes in order of falling
 * log-probability, those that were dropped below. It grows with a slider; a box that is pointed at, or reached with the
 * arrow keys, lights the way to it; a click or Enter has the model begin with its words (the page's events `change` and
 * `open`). Words come from a checkpoint and are inserted as text.
 */

const SVG = "http://www.w3.org/2000/svg";
const BOX = 38;
const ROW = 46;
const GAP = 26;
const HEAD = 26;
// Pixels a letter, and beside the word.
const LETTER = 8;
const PADDING = 18;

export default function ({ data: [search, about, width], parentElement }) {
  const part = (name) => parentElement.querySelector(`[data-part="${name}"]`);
  const { tree, steps, path } = Object.fromEntries(["tree", "steps", "path"].map((name) => [name, part(name)]));
  // The page runs again without a change.
  const content = JSON.stringify([search, about, width]);
  if (tree.content === content) return;
  tree.content = content;
  const columns = layOut(search.steps);
  const svg = drawTree(columns, search.summary);
  tree.replaceChildren(svg);
  let lit = null;

  /** Show the steps so far; a box that is lit beyond them is lit no more. */
  function grow() {
    for (const element of svg.children) element.classList.toggle("later", Number(element.dataset.step) >= steps.value);
    if (lit && lit.step >= steps.value) light(null);
  }

  /** Light the way to a box, and say what it is. */
  function light(place) {
    lit = place;
    const way = place ? wayTo(columns, place) : [];
    tree.classList.toggle("lighting", Boolean(place));
    for (const element of svg.children) {
      element.classList.toggle("lit", way.some((node) => element.dataset.node === node.id));
    }
    path.textContent = place ? way[way.length - 1].title : search.hint;
  }

  function say() {
    if (!lit) return;
    report({ name: "change", said: wayTo(columns, lit).map((node) => node.word), hidden: [], about });
    report({ name: "open", width });
  }

  /** The box beside the one that is lit, or beside the caption's last. */
  function neighbour(key) {
    const { step, index } = lit ?? { step: steps.value - 1, index: 0 };
    const { nodes } = columns[step];
    const found = {
      ArrowLeft: () => step && { step: step - 1, index: nodes[index].parent },
      ArrowRight: () => ({ step: step + 1, index: columns[step + 1]?.nodes.findIndex(({ parent }) => parent === index) }),
      ArrowUp: () => ({ step, index: index - 1 }),
      ArrowDown: () => ({ step, index: index + 1 }),
    }[key]();
    return lit ? found && found.step < steps.value && columns[found.step].nodes[found.index] && found : { step, index };
  }

  tree.onkeydown = (event) => {
    if (event.key === "Enter") return say();
    if (!event.key.startsWith("Arrow")) return;
    event.preventDefault();
    event.stopPropagation();
    light(neighbour(event.key) || lit);
    svg.querySelector(".node.lit:last-of-type")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  };
  tree.onpointermove = (event) => light(placeOf(event.target));
  tree.onpointerleave = () => light(null);
  tree.onclick = (event) => {
    light(placeOf(event.target));
    say();
  };
  steps.max = steps.value = columns.length;
  steps.oninput = grow;
  new ResizeObserver(() => tree.classList.toggle("scrolls", tree.scrollWidth > tree.clientWidth)).observe(tree);
  light(null);
}

function drawTree(columns, summary) {
  const last = columns[columns.length - 1];
  const rows = Math.max(...columns.flatMap((column) => column.nodes.map((node) => node.row))) + 1;
  const [width, height] = [last.x + last.width + 2, HEAD + rows * ROW];
  const svg = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": summary });
  const edges = columns.flatMap((column, step) => column.nodes.filter(() => step).map((node) => edge(columns, step, node)));
  // What leads to the caption is drawn last, over the rest.
  edges.sort((one, other) => one.classList.contains("won") - other.classList.contains("won"));
  svg.append(...edges);
  columns.forEach((column, step) => {
    const number = draw("text", { x: column.x + column.width / 2, y: 14, class: "step", "data-step": step });
    number.textContent = step + 1;
    svg.append(number, ...column.nodes.map((node) => box(column, node)));
  });
  return svg;
}

/** The boxes from the first step to one. */
function wayTo(columns, { step, index }) {
  const node = columns[step].nodes[index];
  return step ? [...wayTo(columns, { step: step - 1, index: node.parent }), node] : [node];
}

/** The box that an element of the drawing belongs to. */
function placeOf(element) {
  const box = element.closest(".node");
  if (!box) return null;
  const [step, index] = box.dataset.node.split(" ").map(Number);
  return { step, index };
}

/** Where each step's column stands and which row each of its prefixes takes. */
function layOut(steps) {
  const places = Math.max(...steps.map((step) => step.filter((node) => node.fate !== "dropped").length));
  let x = 1;
  return steps.map((step, at) => {
    const longest = Math.max(...step.map((node) => Math.max(node.label.length, 5)));
    const column = { x, width: longest * LETTER + PADDING };
    x += column.width + GAP;
    let [kept, dropped] = [0, places];
    column.nodes = step.map((node, index) => ({
      ...node,
      id: `${at} ${index}`,
      row: node.fate === "dropped" ? dropped++ : kept++,
    }));
    return column;
  });
}

function box(column, node) {
  const y = HEAD + node.row * ROW;
  const group = draw("g", { class: `node ${node.fate}${node.final ? " final" : ""}`, ...dataOf(node) });
  const word = draw("text", { x: column.x + column.width / 2, y: y + 16, class: "word" });
  word.textContent = node.label;
  const value = draw("text", { x: column.x + column.width / 2, y: y + 31, class: "value" });
  value.textContent = node.log_probability.toFixed(2).replace("-", "−");
  group.append(draw("rect", { x: column.x, y, width: column.width, height: BOX, rx: 7 }), word, value);
  return group;
}

function edge(columns, step, node) {
  const [before, here] = [columns[step - 1], columns[step]];
  const from = { x: before.x + before.width, y: HEAD + before.nodes[node.parent].row * ROW + BOX / 2 };
  const to = { x: here.x, y: HEAD + node.row * ROW + BOX / 2 };
  const middle = (from.x + to.x) / 2;
  const path = `M${from.x},${from.y} C${middle},${from.y} ${middle},${to.y} ${to.x},${to.y}`;
  return draw("path", { d: path, class: `edge ${node.fate}`, ...dataOf(node) });
}

/** What marks an element of the drawing as a box, or as the line that leads to it. */
function dataOf(node) {
  return { "data-node": node.id, "data-step": node.id.split(" ")[0] };
}

function draw(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
