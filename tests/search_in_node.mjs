// Captions photos with the files of a site, as its page does: node search_in_node.mjs CODE SITE JOBS
//
// CODE is the folder captioning/visualize, SITE one that `captioning site` wrote. JOBS is a JSON file: {photos: [{pixels:
// file of uint8 (3, S, S), searches: [[beam width, [token, …]], …]}]}. Printed is, for each search of each photo,
// [text, log-probability, sureness].
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { runInThisContext } from "node:vm";
import { gunzipSync } from "node:zlib";

const [code, site, jobs] = process.argv.slice(2);
runInThisContext(readFileSync(join(code, "site/browser_search.js"), "utf8"));

const page = readFileSync(join(site, "index.html"), "utf8");
const description = JSON.parse(page.match(/id="description">(.*?)<\/script>/s)[1]);
const ort = await import(pathToFileURL(join(site, description.module)));
ort.env.wasm.wasmBinary = gunzipSync(readFileSync(join(site, description.wasm)));
ort.env.wasm.numThreads = 1;
const [encoder, step] = ["encoder", "step"].map((name) => readFileSync(join(site, `${name}.onnx`)));
const model = await loadModel(ort, { encoder, step }, description);

const found = [];
for (const { pixels, searches } of JSON.parse(readFileSync(jobs))) {
  const photo = await encodePhoto(model, new Uint8Array(readFileSync(pixels)));
  const captions = [];
  for (const [beamSize, prefix] of searches) {
    const [best] = await beamSearch(model, photo, beamSize, prefix);
    const { text, logProbability, sureness } = describeCaption(model, best, beamSize, prefix.length);
    captions.push([text, logProbability, sureness]);
  }
  found.push(captions);
}
console.log(JSON.stringify(found));
