"use strict";

/*
 * The model in the browser: the graphs `encoder` and `step` in ONNX Runtime Web, and beam search over them. It is the
 * search of inference/beam_search.py for one photo, and finds the same captions.
 */

const START = 1;
const END = 2;

/**
 * A model that is ready to caption.
 *
 * `ort` is the module of ONNX Runtime Web, `encoder` and `step` are the bytes of the graphs, and `description` is what
 * model.json says: {vocabulary, once, image_size, search, percentiles}.
 */
async function loadModel(ort, { encoder, step }, description) {
  // One after the other, for the bytes of a graph are held twice while it is loaded.
  const sessions = { encoder: await ort.InferenceSession.create(encoder) };
  sessions.step = await ort.InferenceSession.create(step);
  return { ort, ...sessions, ...description };
}

/** Run the encoder on `pixels`, a Uint8Array (3, S, S): what the step reads of a photo, and its initial state. */
async function encodePhoto(model, pixels) {
  const size = model.image_size;
  const found = await run(model.encoder, { pixels: new model.ort.Tensor("uint8", pixels, [1, 3, size, size]) });
  const [features, projected, ...state] = found;
  const [rows, columns, channels] = features.dims;
  const memory = { features: features.reshape([1, rows * columns, channels]), projected: ofOnePhoto(projected) };
  return { memory, state, grid: { rows, columns } };
}

/**
 * Search the captions of an encoded photo.
 *
 * `prefix` holds the tokens that a caption begins with. Returns the final hypotheses, best first: {path, score}; a path
 * has for each step {token, total, logProbability, attention, alternatives: [[token, log-probability], …]}, where a
 * total is the log-probability of all tokens so far.
 */
async function beamSearch(model, photo, beamSize, prefix = []) {
  const { max_steps, length_penalty } = model.search;
  const final = [];
  let state = photo.state;
  let rows = [{ path: [], token: START, total: 0, parent: 0 }];
  for (let step = 0, closed = 0; rows.length && step < max_steps; step++) {
    const found = await advance(model, photo, state, rows, beamSize, prefix[step]);
    const kept = found.continuations
      .filter(({ total }) => total > -Infinity)
      .sort((one, other) => other.total - one.total)
      .slice(0, beamSize - closed);
    state = found.state;
    rows = kept.filter(({ token }) => token !== END);
    closed += kept.length - rows.length;
    for (const { path, token, total } of kept) {
      if (token === END || path.length === max_steps) final.push({ path, score: total / path.length ** length_penalty });
    }
  }
  if (!final.length) throw new Error("The model computes numbers that are not finite: choose another checkpoint.");
  return final.sort((one, other) => other.score - one.score);
}

/** Extend every row by its likeliest tokens, or by the `forced` one: {continuations, state}. */
async function advance(model, photo, [hidden, cell], rows, beamSize, forced) {
  const { alternatives } = model.search;
  // What a row has said and says once at most; its continuations are its best without these.
  const said = rows.map(({ path }) => new Set(path.map(({ token }) => token).filter((token) => model.once[token])));
  const passedOver = Math.max(...said.map(({ size }) => size));
  const integers = (values, ...shape) => new model.ort.Tensor("int64", BigInt64Array.from(values, BigInt), shape);
  const [attention, nextHidden, nextCell, best, candidates, wanted] = await run(model.step, {
    ...photo.memory,
    hidden: ofOnePhoto(hidden),
    cell: ofOnePhoto(cell),
    parents: integers(rows.map(({ parent }) => parent), rows.length),
    tokens: integers(rows.map(({ token }) => token), rows.length),
    wanted: integers(rows.map(() => forced ?? START), rows.length, 1),
    count: integers([Math.max(beamSize + passedOver, alternatives)], 1),
  });
  const continuations = rows.flatMap((row, parent) => {
    const tokens = Array.from(rowOf(candidates, parent), Number);
    const likeliest = Array.from(rowOf(best, parent), (logProbability, rank) => [tokens[rank], logProbability]);
    const shared = { attention: rowOf(attention, row.parent), alternatives: likeliest.slice(0, alternatives) };
    const free = likeliest.filter(([token]) => !said[parent].has(token)).slice(0, beamSize);
    const offered = forced === undefined ? free : [[forced, wanted.data[parent]]];
    return offered.map(([token, logProbability]) => {
      // In single precision, as numpy adds them.
      const total = Math.fround(row.total + logProbability);
      return { path: [...row.path, { token, total, logProbability, ...shared }], token, total, parent };
    });
  });
  return { continuations, state: [nextHidden, nextCell] };
}

/** The results of a graph, in its order. */
async function run(session, inputs) {
  const found = await session.run(inputs);
  return session.outputNames.map((name) => found[name]);
}

/** A matrix as the first of one. */
function ofOnePhoto(matrix) {
  return matrix.reshape([1, ...matrix.dims]);
}

/** A row of a matrix, or of one photo's. */
function rowOf({ data, dims }, at) {
  const width = dims.at(-1);
  return data.subarray(at * width, (at + 1) * width);
}

/**
 * The best hypothesis of a search as the player shows a caption; see data.py. Its first `forced` words were given to
 * the search.
 */
function describeCaption(model, { path }, beamSize, forced = 0) {
  const labelOf = (token) => (token === END ? "end" : model.vocabulary[token]);
  const words = path.filter(({ token }) => token !== END).map(({ token }) => model.vocabulary[token]);
  const logProbability = path.at(-1).total;
  return {
    text: words.join(" "),
    logProbability,
    sureness: forced ? null : sureness(logProbability / path.length, beamSize, model.percentiles),
    steps: path.map((step, at) => ({
      word: model.vocabulary[step.token],
      label: labelOf(step.token),
      probability: Math.exp(step.logProbability),
      end: step.token === END,
      forced: at === forced - 1,
      alternatives: step.alternatives
        .map(([token, value]) => [model.vocabulary[token], labelOf(token), Math.exp(value)])
        .filter(([, , probability]) => probability > 0),
      attention: step.attention,
    })),
  };
}

/** See `sureness` of inference/sureness.py; `percentiles` has those of each beam width that was scored. */
function sureness(logProbabilityAWord, beamSize, percentiles) {
  const widths = Object.keys(percentiles).map(Number);
  if (!widths.length) return null;
  const distance = (width) => Math.abs(width - beamSize);
  const values = percentiles[widths.reduce((one, other) => (distance(other) < distance(one) ? other : one))];
  const above = values.findIndex((value) => value > logProbabilityAWord);
  if (above < 1) return above === 0 ? 0 : 100;
  const share = (logProbabilityAWord - values[above - 1]) / (values[above] - values[above - 1]);
  return ((above - 1 + share) * 100) / (values.length - 1);
}
