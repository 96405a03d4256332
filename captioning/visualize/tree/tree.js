"use strict";

/*
 * A beam search as a tree, from left to right: a column a step, in it the prefixes in order of falling
 * log-probability, those that were dropped below. Words come from a checkpoint and are inserted as text.
 */

const SVG = "http://www.w3.org/2000/svg";
const BOX = 38;
const ROW = 46;
const GAP = 26;
const HEAD = 26;
// Pixels a letter, and beside the word.
const LETTER = 8;
const PADDING = 18;

export default function ({ data: [search], parentElement }) {
  const place = parentElement.querySelector(".tree");
  const columns = layOut(search.steps);
  const last = columns[columns.length - 1];
  const rows = Math.max(...columns.flatMap((column) => column.nodes.map((node) => node.row))) + 1;
  const [width, height] = [last.x + last.width + 2, HEAD + rows * ROW];
  const svg = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": search.summary });
  const edges = columns.flatMap((column, step) => column.nodes.filter(() => step).map((node) => edge(columns, step, node)));
  // What leads to the caption is drawn last, over the rest.
  edges.sort((one, other) => one.classList.contains("won") - other.classList.contains("won"));
  svg.append(...edges);
  columns.forEach((column, step) => {
    const number = draw("text", { x: column.x + column.width / 2, y: 14, class: "step" });
    number.textContent = step + 1;
    svg.append(number, ...column.nodes.map((node) => box(column, node)));
  });
  place.replaceChildren(svg);
}

/** Where each step's column stands and which row each of its prefixes takes. */
function layOut(steps) {
  const places = Math.max(...steps.map((step) => step.filter((node) => node.fate !== "dropped").length));
  let x = 1;
  return steps.map((step) => {
    const longest = Math.max(...step.map((node) => Math.max(node.label.length, 5)));
    const column = { x, width: longest * LETTER + PADDING };
    x += column.width + GAP;
    let [kept, dropped] = [0, places];
    column.nodes = step.map((node) => ({ ...node, row: node.fate === "dropped" ? dropped++ : kept++ }));
    return column;
  });
}

function box(column, node) {
  const y = HEAD + node.row * ROW;
  const group = draw("g", { class: `node ${node.fate}${node.final ? " final" : ""}` });
  const title = draw("title", {});
  title.textContent = node.title;
  const word = draw("text", { x: column.x + column.width / 2, y: y + 16, class: "word" });
  word.textContent = node.label;
  const value = draw("text", { x: column.x + column.width / 2, y: y + 31, class: "value" });
  value.textContent = node.log_probability.toFixed(2).replace("-", "−");
  group.append(title, draw("rect", { x: column.x, y, width: column.width, height: BOX, rx: 7 }), word, value);
  return group;
}

function edge(columns, step, node) {
  const [before, here] = [columns[step - 1], columns[step]];
  const from = { x: before.x + before.width, y: HEAD + before.nodes[node.parent].row * ROW + BOX / 2 };
  const to = { x: here.x, y: HEAD + node.row * ROW + BOX / 2 };
  const middle = (from.x + to.x) / 2;
  const path = `M${from.x},${from.y} C${middle},${from.y} ${middle},${to.y} ${to.x},${to.y}`;
  return draw("path", { d: path, class: `edge ${node.fate}` });
}

function draw(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
