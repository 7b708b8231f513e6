// Training in the page: a worker trains a model, with numbers that the reader may change, over what
// the pipeline's run was; and the line that does the same there.

const lesson = data.training;
const wrongText = $("wrong"); // it stands below the number that is wrong
const SLIDERS = { // the places of each slider, where they are within the range
  learning_rate: [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1, 2, 5],
  momentum: [0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99],
  weight_decay: [0, 0.00001, 0.0001, 0.001, 0.01, 0.1, 1],
  batch_size: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096],
  epochs: [1, 2, 3, 4, 5, 6, 8, 10, 15, 20],
  seed: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
  units: [1, 2, 3, 5, 10, 15, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1024],
  channels: [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64],
  p: [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
  train: [10, 20, 50, 100, 200, 300, 500, 700, 1000, 1500, 2000, 2500, 3000, 4000, 5000],
};
const NAMES = {
  learning_rate: "Learning rate",
  momentum: "Momentum",
  weight_decay: "Weight decay",
  batch_size: "Batch size",
  epochs: "Epochs",
  seed: "Seed",
  units: "Units",
  channels: "Channels",
  p: "Dropout",
  train: `Training ${IMAGE}s`,
};
const ADVICE = "lower the learning_rate, momentum or weight_decay";
const DEFAULTS = { momentum: "0.9" }; // of what the pipeline's own optimizer lacks

// ---- The digits.

/** Each 0 stands for zeros, one more than the byte after it says. */
function unpackDigits(text, count) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const found = new Uint8Array(count * SIDE * SIDE);
  let place = 0;
  for (let i = 0; i < bytes.length; i++) {
    if (bytes[i] === 0) place += bytes[++i] + 1;
    else found[place++] = bytes[i];
  }
  return found;
}

const pool = {
  images: unpackDigits(lesson.digits.images, lesson.digits.train + lesson.digits.val),
  labels: Uint8Array.from(atob(lesson.digits.labels), (letter) => letter.charCodeAt(0)),
};

/** As many digits of the pool from `start` on. */
function digitsOf(start, count) {
  return {
    images: pool.images.slice(start * SIDE * SIDE, (start + count) * SIDE * SIDE),
    labels: pool.labels.slice(start, start + count),
  };
}

// ---- Numbers, written and refused as in the pipeline.

/** A number as Python writes it. */
function written(value, isInteger) {
  if (isInteger) return String(value);
  if (!Number.isFinite(value)) return String(value).toLowerCase().replace("infinity", "inf");
  const exponent = Number(value.toExponential().split("e")[1]);
  if (exponent < -4 || exponent > 15) {
    return value.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
  }
  return Number.isInteger(value) ? `${value}.0` : String(value);
}

/** What is wrong with a text for a number in this range, or nothing. */
function refusal(key, text, { type, minimum, exclusiveMinimum, maximum, exclusiveMaximum }) {
  const isInteger = /^[-+]?\d+$/.test(text);
  const isNumber = isInteger || /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text);
  const value = Number(text);
  const shown = isNumber ? written(isInteger ? BigInt(text) : value, isInteger) : `'${text}'`;
  const say = (what) => `${key} is ${shown}; it should be ${what}`;
  if (!isNumber) return say(`a valid ${type}`);
  if (type === "integer" && !isInteger) return say("a valid integer");
  if (!Number.isFinite(value)) return say("a finite number");
  if (value < minimum) return say(`greater than or equal to ${minimum}`);
  if (value <= exclusiveMinimum) return say(`greater than ${exclusiveMinimum}`);
  if (value > maximum) return say(`less than or equal to ${maximum}`);
  if (value >= exclusiveMaximum) return say(`less than ${exclusiveMaximum}`);
  return "";
}

/** A range for people. */
function rangeOf({ type, minimum, exclusiveMinimum, maximum, exclusiveMaximum }) {
  const most = type === "integer" && exclusiveMaximum ? exclusiveMaximum - 1 : maximum;
  if (most !== undefined) return `${grouped(minimum)} to ${grouped(most)}`;
  if (exclusiveMaximum !== undefined) return `${minimum} to below ${exclusiveMaximum}`;
  return minimum === undefined ? `above ${exclusiveMinimum}` : `${minimum} or more`;
}

// ---- What can be changed, model by model: texts by their keys in params.yaml.

/** The least number of training digits: the other models, too, need a full batch. */
function limitsOfDigits(model) {
  const others = Object.entries(lesson.batches).filter(([name]) => name !== model);
  const minimum = others.reduce((least, [, size]) => Math.max(least, size), 1);
  return { type: "integer", minimum, maximum: Math.max(minimum, lesson.digits.train) };
}

/** The numbers of a model that can be changed, with their values in the pipeline. */
function numbersOf(model) {
  const { optimizer, layers, ...settings } = lesson.models[model];
  const section = `models.${model}`;
  const number = (key, name, value, of = "") => ({
    key, name, of, value, limits: lesson.limits[name],
  });
  const hidden = layers.slice(0, -1).flatMap((layer) =>
    ["units", "channels", "p"]
      .filter((name) => name in layer)
      .map((name) => number(`${section}.layers.${layer.name}.${name}`, name, layer[name], layer.name)),
  );
  const ofOptimizer = ["learning_rate", "momentum", "weight_decay"].map((name) =>
    number(`${section}.optimizer.${name}`, name, optimizer[name]),
  );
  return [
    ...ofOptimizer,
    ...["batch_size", "epochs"].map((name) => number(`${section}.${name}`, name, settings[name])),
    ...hidden,
    { key: "digits.train", name: "train", of: "", value: lesson.digits.train, limits: limitsOfDigits(model) },
    number(`${section}.seed`, "seed", settings.seed),
  ];
}

/** What the reader has chosen for a model: a kind of optimizer, and a text for each number. */
function untouched(model) {
  const texts = numbersOf(model).map(({ key, name, value }) => [
    key,
    value === undefined ? DEFAULTS[name] : String(value),
  ]);
  return { kind: lesson.models[model].optimizer.kind, texts: new Map(texts) };
}

const choices = new Map(Object.keys(lesson.models).map((model) => [model, untouched(model)]));
let chosen = Object.keys(lesson.models)[0]; // the model

/** The numbers that the chosen kind of optimizer has, and all others. */
function present(model) {
  const fields = lesson.optimizers[choices.get(model).kind];
  const isThere = ({ key, name }) => !key.includes(".optimizer.") || fields.includes(name);
  return numbersOf(model).filter(isThere);
}

/** What is wrong with the reader's choice, or nothing. */
function wrongChoice(model) {
  const { texts } = choices.get(model);
  for (const { key, limits } of present(model)) {
    const problem = refusal(key, texts.get(key), limits);
    if (problem) return { key, problem };
  }
  const key = `models.${model}.batch_size`;
  const [batch, count] = [Number(texts.get(key)), Number(texts.get("digits.train"))];
  if (batch <= count) return null;
  const [size, most] = [batch, count].map(grouped);
  const right = `it should be at most ${most}, the number of training images`;
  return { key, problem: `${key} is ${size}; ${right}` };
}

/** The reader's choice as a section of params.yaml, with its layers in a list. */
function settingsOf(model) {
  const { kind, texts } = choices.get(model);
  const { layers, ...about } = lesson.models[model];
  const value = (key) => Number(texts.get(`models.${model}.${key}`));
  const optimizer = { kind };
  for (const name of lesson.optimizers[kind]) optimizer[name] = value(`optimizer.${name}`);
  return {
    optimizer,
    batch_size: value("batch_size"),
    epochs: value("epochs"),
    seed: value("seed"),
    eval_every: about.eval_every,
    layers: layers.map((layer, place) => {
      const changed = { ...layer };
      if (place === layers.length - 1) return changed;
      for (const name of ["units", "channels", "p"]) {
        if (name in layer) changed[name] = value(`layers.${layer.name}.${name}`);
      }
      return changed;
    }),
  };
}

/** What is not as in params.yaml: pairs of a key and a text. A null takes a key away. */
function changesOf(model) {
  const { kind, texts } = choices.get(model);
  const { optimizer } = lesson.models[model];
  const { train, val, all } = lesson.digits;
  const found = [];
  if (kind !== optimizer.kind) found.push([`models.${model}.optimizer.kind`, kind]);
  for (const { key, name, value } of present(model)) {
    const inPipeline = name === "train" ? all.train : value;
    if (Number(texts.get(key)) === inPipeline) continue;
    const isNew = inPipeline === undefined ? "++" : "";
    found.push([`${isNew}${key}`, String(Number(texts.get(key)))]);
  }
  for (const name of lesson.optimizers[optimizer.kind]) {
    if (!lesson.optimizers[kind].includes(name)) found.push([`~models.${model}.optimizer.${name}`, null]);
  }
  if (val !== all.val && (train !== all.train || found.some(([key]) => key === "digits.train"))) {
    found.push(["digits.val", String(val)]);
  }
  return found;
}

/** The line that trains the same model in the pipeline. DVC takes no names such as 2fc with -S:
 * what is to be changed by hand stands above the line then. */
function lineOf(changes) {
  const isByHand = changes.some(([key]) => key.split(".").some((name) => /^\d+\D/.test(name)));
  if (isByHand) {
    const written = changes.map(([key, text]) =>
      text === null ? `# remove ${key.slice(1)}` : `# ${key.replace("++", "")}: ${text}`,
    );
    return ["# in params.yaml:", ...written, "dvc repro"].join("\n");
  }
  const options = changes.map(([key, text]) => {
    const change = text === null ? `'${key}'` : `${key}=${text}`;
    return ` -S ${change}`;
  });
  return options.length ? `dvc exp run${options.join("")}` : "dvc repro";
}

/** Changes without what is the same for all of them. */
const inWords = (changes) =>
  changes
    .filter(([, text]) => text !== null)
    .map(([key, text]) => `${key.replace(/^\W*models\.[^.]+\.(optimizer\.|layers\.)?/, "")}=${text}`)
    .join(", ") || "nothing";

// ---- Charts, drawn as those of the page are (stages/core/page/chart.py).

const FRAME = { width: 560, height: 320, left: 56, right: 14, top: 34, bottom: 50 };

function svgElement(name, attributes, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

/** At most seven round numbers from zero to the largest. */
function ticks(largest) {
  for (let exponent = -6; ; exponent++) {
    for (const digit of [1, 2, 5]) {
      const step = Number(`${digit}e${exponent}`);
      const count = Math.floor(largest / step + 1e-9) + 1;
      if (largest / step <= 6) {
        return Array.from({ length: count }, (_, i) => Number((i * step).toPrecision(9)));
      }
    }
  }
}

/** Lines over one another, each `{style, points}`. What lies above the top is drawn there. */
function drawChart(svg, lines, right, top, label) {
  const { width, height, left, top: above, bottom } = FRAME;
  const across = (x) => left + (x / right) * (width - left - FRAME.right);
  const down = (y) => height - bottom - (Math.min(y, top) / top) * (height - above - bottom);
  const parts = ticks(top).flatMap((y) => [
    svgElement("line", { class: "grid", x1: left, x2: width - FRAME.right, y1: down(y), y2: down(y) }),
    svgElement("text", { x: left - 8, y: down(y) + 4, "text-anchor": "end" }, y),
  ]);
  for (const x of ticks(right)) {
    parts.push(svgElement("text", { x: across(x), y: height - bottom + 19, "text-anchor": "middle" }, x));
  }
  const corner = { x: width - FRAME.right, y: height - 8, "text-anchor": "end" };
  parts.push(svgElement("text", corner, "iteration"));
  parts.push(svgElement("text", { x: FRAME.right, y: above - 16 }, label));
  for (const { style, points } of lines) {
    const places = points.map(([x, y]) => `${across(x).toFixed(1)},${down(y).toFixed(1)}`);
    if (places.length) parts.push(svgElement("path", { class: `line ${style}`, d: `M${places.join("L")}` }));
  }
  svg.replaceChildren(svg.querySelector("title"), ...parts);
}

// ---- A run.

let worker = null;
let run = null; // what is shown: of the model `chosen`
let isStale = false; // the charts are to be drawn anew
const tried = []; // finished runs, for the table

function endWorker() {
  worker?.terminate();
  worker = null;
}

function begin() {
  if (wrongChoice(chosen)) return showChoice();
  endWorker();
  const settings = settingsOf(chosen);
  const count = Number(choices.get(chosen).texts.get("digits.train"));
  const changes = changesOf(chosen);
  run = { model: chosen, settings, changes, count, losses: [], points: [], weights: null, largest: 0 };
  run.state = "running";
  const text = `${$("engine").textContent}\nserve();`;
  const address = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  worker = new Worker(address);
  URL.revokeObjectURL(address);
  worker.onmessage = ({ target, data: message }) => target === worker && hear(message);
  worker.onerror = (event) => {
    event.preventDefault();
    end("failed", `Training failed: ${event.message || "the browser ended it"}.`);
  };
  const model = new Model(settings.layers, [1, SIDE, SIDE]);
  const first = model.layers[model.first];
  const [channels, height, width] = first.inputShape;
  const { kernel = height } = first;
  run.tile = { height: kernel, width: first.kernel ?? width };
  run.units = first.weight.length / run.tile.height / run.tile.width;
  run.numWeights = model.parameters.reduce((sum, parameter) => sum + parameter.length, 0);
  run.one = first.kernel ? "kernel" : model.first === model.layers.length - 1 ? data.one : "unit";
  run.layer = settings.layers[model.first].name;
  worker.postMessage({
    settings,
    shape: [1, SIDE, SIDE],
    train: digitsOf(0, count),
    val: digitsOf(count, lesson.digits.val),
    test: { images: digits.values, labels: data.digits.labels },
    shown: Math.min(run.units, MOST) * run.tile.height * run.tile.width,
    isRunning: true,
  });
  const nameOf = (i) => (run.one === data.one ? data.labels[i] : i);
  const pictures = Array.from({ length: Math.min(run.units, MOST) }, (_, i) =>
    pictured(`Weights of ${run.one} ${nameOf(i)}`),
  );
  run.tiles = makeTiles($("training-tiles"), pictures);
  run.tiles.forEach(({ lines }, i) => {
    lines[1].textContent = nameOf(i);
  });
  $("outcome").textContent = "Training …";
  return showRun();
}

/** What the worker tells. */
function hear(message) {
  if (message.digest) return finish(message);
  if (message.diverges) return diverge(message.diverges);
  const { iteration, last, loss, train, val, weights } = message;
  Object.assign(run, { iteration, last });
  run.losses.push([iteration, loss]);
  if (weights) {
    run.points.push({ iteration, train, val });
    if (weights.every(Number.isFinite)) run.weights = weights; // the loss will not be, next time
    return showLater();
  }
  return showProgress();
}

/** In the words of stages/core/learning/training.py. */
function diverge({ loss, iteration }) {
  const of = iteration ? `the loss is ${written(loss)} at iteration ${iteration}` : "";
  const tested = loss === undefined ? "" : `the loss of the test images is ${written(loss)}`;
  const how = of || tested || "the weights are not finite at the end";
  const said = `models.${run.model} diverges: ${how}; ${ADVICE}`;
  addRow({ ...run, problem: how });
  end("failed", said);
}

function end(state, said) {
  run.state = state;
  endWorker();
  $("outcome").textContent = said;
  showRun();
}

function finish({ digest, test }) {
  Object.assign(run, { digest, test });
  addRow(run);
  end("finished", verdict());
}

/** What the digest says, in plain words. */
function verdict() {
  const { digest } = lesson.models[run.model];
  const { train, all } = lesson.digits;
  const count = grouped(run.numWeights);
  if (run.digest === digest) {
    return run.changes.length
      ? `Changed, and yet the same, byte for byte: all ${count} weights are those of the pipeline’s model.`
      : `The same, byte for byte: all ${count} weights are those of the pipeline’s model.`;
  }
  if (run.changes.length === 0) {
    return "Not the pipeline’s model, although no number was changed. That should not happen: this browser calculates differently.";
  }
  if (run.count === train && train !== all.train) {
    return (
      `Not the pipeline’s model: this page has room for only ${grouped(train)} of its ` +
      `${grouped(all.train)} training ${IMAGE}s. The line below trains the same model there.`
    );
  }
  return "Not the pipeline’s model, since you changed its numbers. The line below trains the same model there, byte for byte.";
}

/** A row of the table of runs; with the last one on top. */
function addRow({ model, changes, losses, points, digest, test, problem }) {
  tried.push(model);
  const last = points.at(-1);
  const cell = (text, isNumber) =>
    element("td", { className: isNumber ? "number" : "", textContent: text });
  const name = element("th", { scope: "row", textContent: tried.length });
  const results = problem
    ? [element("td", { className: "wide", colSpan: 4, textContent: `diverges: ${problem}` })]
    : [
        cell(rounded(losses.at(-1)[1], 3), true),
        cell(percent(last.train), true),
        cell(percent(last.val), true),
        cell(percent(test), true),
      ];
  const short = element("td", {}, element("code", { textContent: digest ? digest.slice(0, 12) : "–" }));
  const what = element("td", { className: "wide", textContent: inWords(changes) });
  $("tried").prepend(element("tr", {}, name, cell(titleOf(model)), what, ...results, short));
  $("tried-table").hidden = false;
}

// ---- What is shown.

function showLater() {
  if (!isStale) requestAnimationFrame(() => isStale && showRun());
  isStale = true;
}

const gather = (points, name) => points.map((point) => [point.iteration, point[name]]);

function showCharts() {
  const { curve } = lesson.models[chosen];
  const before = (place) => curve.map((point) => [point[0], point[place]]);
  const [losses, points] = run ? [run.losses, run.points] : [[], []];
  const right = Math.max(curve.at(-1)[0], run?.last ?? 0);
  const largest = (line) => line.reduce((most, [, y]) => Math.max(most, y), 0);
  const before1 = largest(before(1));
  const top = Math.max(before1, Math.min(largest(losses), 2 * before1)) || 1;
  drawChart(
    $("training-loss"),
    [{ style: "past", points: before(1) }, { style: "line-0", points: losses }],
    right,
    top,
    "mean cross-entropy (nats)",
  );
  drawChart(
    $("training-accuracy"),
    [
      { style: "past", points: before(2) },
      { style: "past dashed", points: before(3) },
      { style: "line-0", points: gather(points, "train") },
      { style: "line-1", points: gather(points, "val") },
    ],
    right,
    1,
    "share of the images recognised",
  );
  $("beyond").hidden = largest(losses) <= top;
}

function showWeights() {
  $("training-weights").hidden = !run?.weights;
  if (!run?.weights) return;
  const { tile, weights, units, tiles } = run;
  run.largest = Math.max(run.largest, largestOf(weights));
  const size = tile.height * tile.width;
  tiles.forEach(({ picture }, i) => {
    const part = weights.subarray(i * size, (i + 1) * size);
    paint(picture, part, tile.height, tile.width, run.largest, diverging);
  });
  const some = tiles.length < units ? `, the first ${tiles.length} of ${units}` : "";
  const name = element("code", { textContent: run.layer });
  $("training-shown").replaceChildren(name, `: the weights of each ${run.one}${some}.`);
  drawScale($("training-scale"), run.largest, diverging, "weight");
}

function showProgress() {
  const state = run?.state ?? "none";
  const [iteration, last] = [run?.iteration ?? 0, run?.last ?? 1];
  $("training-progress").max = last;
  $("training-progress").value = iteration;
  $("pause").disabled = state !== "running" && state !== "stopped";
  $("pause").textContent = state === "stopped" ? "Go on" : "Stop";
  const measured = run?.points.at(-1);
  const accuracies = measured
    ? ` ${percent(measured.train)} of the training ${IMAGE}s and ${percent(measured.val)} of the ` +
      `validation ${IMAGE}s recognised at iteration ${measured.iteration}.`
    : "";
  $("training-now").textContent = iteration
    ? `Iteration ${iteration} of ${last}: loss ${rounded(run.losses.at(-1)[1], 3)}.${accuracies}`
    : "Not trained yet. The grey lines are the pipeline’s run.";
}

function showRun() {
  isStale = false;
  showProgress();
  $("digest-here").textContent = run?.digest ?? "–";
  $("digest-there").textContent = lesson.models[chosen].digest;
  $("proof").classList.toggle("same", run?.digest === lesson.models[chosen].digest);
  showCharts();
  showWeights();
  showLine();
}

function showLine() {
  const wrong = wrongChoice(chosen);
  const changes = wrong ? [] : changesOf(chosen);
  const line = wrong ? "–" : lineOf(changes);
  $("line").textContent = line;
  $("copy").disabled = Boolean(wrong);
  const isOfRun = run?.digest && !wrong && line === lineOf(run.changes);
  const code = (text) => element("code", { textContent: text });
  $("expect").replaceChildren(
    ...(isOfRun
      ? [code("train"), " prints the digest of what it trained. Expect ", code(run.digest), "."]
      : ["Train it here first, and the digest to expect will appear here."]),
  );
}

function showChoice() {
  const wrong = wrongChoice(chosen);
  wrongText.textContent = wrong?.problem ?? "";
  for (const field of $("numbers").querySelectorAll("input[type=text]")) {
    const isWrong = field.dataset.key === wrong?.key;
    field.setAttribute("aria-invalid", isWrong);
    if (isWrong) field.parentElement.after(wrongText);
  }
  const isChanged = JSON.stringify([...choices.get(chosen).texts]) !== JSON.stringify([...untouched(chosen).texts]);
  $("undo").disabled = !isChanged && choices.get(chosen).kind === lesson.models[chosen].optimizer.kind;
  showLine();
}

/** A slider and a field for a number. */
function numberRow({ key, name, of, limits, value }) {
  const { texts } = choices.get(chosen);
  const id = `number-${key.replaceAll(".", "-")}`;
  const least = limits.minimum ?? limits.exclusiveMinimum;
  const most = limits.maximum ?? limits.exclusiveMaximum ?? Infinity;
  const all = new Set([...SLIDERS[name], ...(value === undefined ? [] : [value])]);
  const stops = [...all].filter((stop) => stop >= least && stop <= most).sort((a, b) => a - b);
  const field = element("input", { type: "text", id, inputMode: "decimal", maxLength: 20 });
  field.autocomplete = "off";
  field.dataset.key = key;
  const slider = element("input", { type: "range", min: 0, max: stops.length - 1, step: 1 });
  const hint = element("span", { className: "range", id: `${id}-range`, textContent: rangeOf(limits) });
  slider.setAttribute("aria-label", `${NAMES[name]}${of ? ` of ${of}` : ""}, slider`);
  field.setAttribute("aria-describedby", `${hint.id} wrong`);
  const place = () => {
    const number = Number(texts.get(key));
    slider.value = Math.max(0, stops.findLastIndex((stop) => stop <= number));
    slider.setAttribute("aria-valuetext", texts.get(key));
  };
  field.value = texts.get(key);
  place();
  slider.addEventListener("input", () => {
    field.value = String(stops[slider.value]);
    texts.set(key, field.value);
    slider.setAttribute("aria-valuetext", field.value);
    showChoice();
  });
  field.addEventListener("input", () => {
    texts.set(key, field.value.trim());
    place();
    showChoice();
  });
  const label = element("label", { htmlFor: id }, NAMES[name]);
  if (of) label.append(" of ", element("code", { textContent: of }));
  return element("div", { className: "number-row" }, label, slider, field, hint);
}

function optimizerRow() {
  const select = element("select", { id: "optimizer" });
  const titles = { adam: "Adam", sgd: "SGD, with momentum" };
  for (const kind of Object.keys(lesson.optimizers)) {
    select.append(element("option", { value: kind, textContent: titles[kind] }));
  }
  select.value = choices.get(chosen).kind;
  select.addEventListener("change", () => {
    choices.get(chosen).kind = select.value;
    showNumbers();
    $("optimizer").focus();
  });
  const label = element("label", { htmlFor: "optimizer", textContent: "Optimizer" });
  return element("div", { className: "number-row" }, label, select);
}

function showNumbers() {
  $("numbers").replaceChildren(optimizerRow(), ...present(chosen).map(numberRow), wrongText);
  showChoice();
}

/** Another model: its numbers, and the pipeline's run of it. */
function choose(model) {
  endWorker();
  [chosen, run] = [model, null];
  $("outcome").textContent = "";
  showNumbers();
  showRun();
}

async function copyLine() {
  const text = $("line").textContent;
  try {
    await navigator.clipboard.writeText(text);
    $("copied").textContent = "Copied.";
  } catch {
    getSelection().selectAllChildren($("line"));
    $("copied").textContent = "Press Ctrl+C to copy it.";
  }
}

$("begin").addEventListener("click", begin);
$("pause").addEventListener("click", () => {
  const isRunning = run.state === "stopped";
  run.state = isRunning ? "running" : "stopped";
  worker.postMessage({ isRunning });
  $("outcome").textContent = isRunning ? "Training …" : "Stopped. Nothing is lost: it can go on.";
  showRun();
});
$("undo").addEventListener("click", () => {
  choices.set(chosen, untouched(chosen));
  showNumbers();
  $("begin").focus();
});
$("copy").addEventListener("click", copyLine);
for (const radio of document.querySelectorAll("input[name=trained]")) {
  radio.addEventListener("change", () => choose(radio.value));
}
addEventListener("pagehide", () => {
  if (worker) end("failed", "Training ended when you left the page.");
});

choose(document.querySelector("input[name=trained]:checked")?.value ?? chosen);
