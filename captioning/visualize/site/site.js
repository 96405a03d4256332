"use strict";

/*
 * The page without a server: somebody chooses a photo and a beam width, and the player shows what the model says. What
 * is large is beside this page, or embedded in it.
 */

// As many as ONNX Runtime Web takes by itself at most.
const MOST_THREADS = 4;

const description = JSON.parse(element("description").textContent);
const gallery = description.gallery.map((entry) => ({ ...entry, encodings: new Map(), captions: new Map() }));
const chosen = { photo: null, beamSize: description.search.beam_size, changes: [], word: 0 };
const player = createPlayer(element("player"), {
  moved: (word) => (chosen.word = word),
  turned: (by) => choose(gallery[(gallery.indexOf(chosen.photo) + by + gallery.length) % gallery.length]),
  changed: change,
  undone: undo,
});
const UNCHANGED = { said: [], hidden: [] };
let model = null;
let shown = null;

function element(id) {
  return document.getElementById(id);
}

// Files

/** The bytes of a file that is embedded in this page or beside it; `arrived(bytes)` is called as they come. */
async function readFile(name, arrived = () => {}) {
  const embedded = element(name);
  const packed = embedded ? bytes(embedded.textContent) : await download(name, arrived);
  embedded?.remove();
  if (packed[0] !== 0x1f || packed[1] !== 0x8b) return packed;
  const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(unpacked).arrayBuffer());
}

async function download(name, arrived) {
  if (window.location.protocol === "file:") {
    throw new Error("A browser does not let a file read those beside it: run “python -m http.server” in its folder, and open http://localhost:8000.");
  }
  const answer = await fetch(name).catch(() => null);
  if (!answer?.ok) throw new Error(`${name} cannot be loaded: check the network, and load the page again.`);
  const parts = [];
  for (const reader = answer.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    arrived(value.length);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** ONNX Runtime Web and the graphs. */
async function load() {
  const names = ["encoder.onnx", "step.onnx", description.wasm];
  const progress = element("progress");
  progress.max = names.reduce((sum, name) => sum + (description.sizes[name] ?? 0), 0) || 1;
  progress.value = 0;
  progress.hidden = false;
  const arrived = (count) => (progress.value += count);
  const embedded = element(description.module) && new Blob([await readFile(description.module)], { type: "text/javascript" });
  const [ort, encoder, step, wasm] = await Promise.all([
    import(embedded ? URL.createObjectURL(embedded) : `./${description.module}`),
    ...names.map((name) => readFile(name, arrived)),
  ]);
  ort.env.wasm.wasmBinary = wasm;
  ort.env.wasm.numThreads = threads();
  const loaded = await loadModel(ort, { encoder, step }, description).catch((error) => {
    throw new Error(`This browser cannot run the model (${error.message}): try a newer one, or another device.`);
  });
  progress.hidden = true;
  return loaded;
}

/** How many threads compute: one where the host does not isolate this page from others. */
function threads() {
  return window.crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency || 1) : 1;
}

// What is chosen

/** Photos, whether of the gallery or somebody's own: {title, file or blob, credit, licence, encodings, captions}. */
function choose(photo) {
  Object.assign(chosen, { photo, changes: [], word: 0 });
  markPhoto(element("gallery"), gallery.indexOf(photo));
  refresh();
}

function chooseFile(files) {
  const blob = [...files].find((file) => file.type.startsWith("image/")) ?? files[0];
  if (blob) choose({ title: blob.name || "Your photo", blob, encodings: new Map(), captions: new Map() });
}

/** Show what the model says with these words said and parts hidden. */
function change({ data, said, hidden }) {
  // A click may come from captions that are no longer shown.
  if (data !== shown.id) return;
  chosen.changes = [...chosen.changes, { said, hidden }];
  refresh();
}

function undo() {
  chosen.changes = chosen.changes.slice(0, -1);
  refresh();
}

// What is shown

let asked = 0;
let turn = Promise.resolve();

/** Show what is chosen, after what is being computed; of several choices meanwhile, the last alone. */
function refresh() {
  const mine = ++asked;
  turn = turn.then(() => (mine === asked ? show().catch(fail) : null));
}

async function show() {
  const { photo, beamSize, changes } = chosen;
  const changed = changes.at(-1);
  if (!model) {
    tell("Loading the model …");
    model = await load();
  }
  if (!photo.opened) {
    tell("Describing the photo …");
    await openOnce(photo);
  }
  const plain = await describe(photo, beamSize, UNCHANGED);
  const panes = [{ ...plain, heading: changed ? "What it said" : "", note: noteOf(plain) }];
  if (changed) {
    const other = await describe(photo, beamSize, changed);
    panes.push({ ...other, heading: "What it says then", note: noteOf(other) });
  }
  shown = {
    id: JSON.stringify([photo.key, beamSize, changed]),
    title: photo.title,
    photo: photo.picture,
    grid: plain.grid,
    captions: panes,
    what_if: true,
    vocabulary: model.vocabulary.filter((word) => !word.startsWith("<")),
    look: description.look,
    ...description.drawing,
  };
  element("player").hidden = false;
  player.show(shown, { word: chosen.word });
  ask(changed);
  tell("");
  element("timing").textContent =
    `${description.name} · ${description.precision}, ${threads() === 1 ? "one thread" : `${threads()} threads`} · ` +
    `encoded in ${plain.encodeSeconds} ms · searched in ${plain.seconds} ms · ${noteOf(plain)}`;
  give(photo);
}

/** Open a photo, once. */
async function openOnce(photo) {
  const { most, shown: longest, widest, tallest } = description.photo;
  // The message is drawn before the computing begins.
  await new Promise((drawn) => setTimeout(drawn, 20));
  photo.blob ??= new Blob([await readFile(photo.file)]);
  photo.opened = await openPhoto(photo.blob, photo.title, most);
  photo.picture = drawPhoto(photo.opened, longest, widest, tallest);
  photo.key = ++openOnce.count;
}
openOnce.count = 0;

/** The encoder's result for a photo with parts hidden, {encoded, seconds}, computed once. */
async function encode(photo, rectangles) {
  return once(photo.encodings, rectangles, async () => {
    const started = performance.now();
    const seen = withoutParts(photo.opened, rectangles, description.drawing.gray);
    const encoded = await encodePhoto(model, toPixels(seen, model.image_size));
    return { encoded, seconds: Math.round(performance.now() - started) };
  });
}

/** The caption that begins with the words said, of the photo without what is hidden; searched once. */
async function describe(photo, beamSize, { said, hidden: rectangles }) {
  const { encoded, seconds: encodeSeconds } = await encode(photo, rectangles);
  return once(photo.captions, [beamSize, said, rectangles], async () => {
    const started = performance.now();
    const tokens = said.map((word) => model.vocabulary.indexOf(word));
    const [best] = await beamSearch(model, encoded, beamSize, tokens);
    const caption = describeCaption(model, best, beamSize, said.length);
    const seconds = Math.round(performance.now() - started);
    return { ...caption, hidden: rectangles, agreement: null, grid: encoded.grid, encodeSeconds, seconds };
  });
}

/** What `make` gives, computed once for what is asked. */
async function once(known, asked, make) {
  const key = JSON.stringify(asked);
  if (!known.has(key)) known.set(key, await make());
  return known.get(key);
}

function noteOf({ logProbability }) {
  return `log-probability ${logProbability.toFixed(2).replace("-", "−")}`;
}

/** What was changed, and the way back; see `question` of what_if.py. */
function ask(changed) {
  element("question").hidden = !changed;
  if (!changed) return;
  const before = changed.said.slice(0, -1).join(" ");
  const last = changed.said.at(-1) === model.vocabulary[END] ? "end" : changed.said.at(-1);
  const says = `it said “${last}” ${before ? `after “${before}”` : "at the beginning"}`;
  const sees = "it did not see what is gray";
  const asked = [...(changed.said.length ? [says] : []), ...(changed.hidden.length ? [sees] : [])];
  element("question").querySelector("p").textContent = `What if ${asked.join(" and ")}?`;
}

/** Who made a photo. */
function give({ credit = "", licence = "" }) {
  const link = licence ? make("a", "", credit) : credit;
  if (licence) link.href = licence;
  element("credit").replaceChildren(link);
}

function tell(text) {
  element("status").className = "";
  element("status").textContent = text;
}

function fail(error) {
  element("progress").hidden = true;
  element("status").className = "error";
  element("status").textContent = error.message;
}

// The page's controls

async function offerGallery() {
  for (const photo of gallery) if (element(photo.file)) photo.blob = new Blob([await readFile(photo.file)]);
  const photos = gallery.map(({ title, blob, file }) => ({ title, url: blob ? URL.createObjectURL(blob) : file }));
  offerPhotos(element("gallery"), photos, (index) => choose(gallery[index]));
}

function listen() {
  const [least, most] = description.beam_sizes;
  const [beam, beamShown] = [element("beam"), element("beam-shown")];
  Object.assign(beam, { min: least, max: most, value: chosen.beamSize });
  const show = () => {
    beamShown.value = beam.value;
    fill(beam);
  };
  show();
  beam.oninput = () => {
    show();
    chosen.beamSize = Number(beam.value);
    refresh();
  };
  element("undo").onclick = undo;
  for (const input of document.querySelectorAll("input[type=file]")) {
    input.onchange = () => {
      chooseFile(input.files);
      // So that the same file can be chosen again.
      input.value = "";
    };
  }
  const drop = (event) => {
    event.preventDefault();
    document.body.classList.toggle("dropping", event.type === "dragover");
    if (event.type === "drop") chooseFile(event.dataTransfer.files);
  };
  for (const type of ["dragover", "dragleave", "drop"]) document.addEventListener(type, drop);
  document.addEventListener("paste", (event) => chooseFile(event.clipboardData.files));
}

listen();
offerGallery().then(() => choose(gallery[0]));
if (window.location.protocol !== "file:") navigator.serviceWorker?.register("service_worker.js");
