const SIDE = 28; // of a digit, pixels
const BOX = 20; // into which MNIST scales the ink
const PAD = 280; // side of the drawing area
const STEP = PAD / SIDE; // of the pen by keyboard
const MOST_UNITS = 64; // hidden units shown at a time
const LIVE = Object.keys(data.models);

// ---- The models: their forward passes, with all that they compute on the way.

const weights = Object.fromEntries(
  LIVE.map((model) => [
    model,
    Object.fromEntries(
      Object.entries(data.models[model]).map(([name, t]) => [name, unpack(t, Float32Array)]),
    ),
  ]),
);
const digits = unpack(data.digits, Uint8Array);

/** The pixels of a test digit, 0 to 255. */
function testDigit(index) {
  return digits.values.subarray(index * SIDE * SIDE, (index + 1) * SIDE * SIDE);
}

/** A linear layer: outputs × inputs times x, and the bias. */
function linear(x, weight, bias) {
  return Float64Array.from(bias.values, (b, row) => {
    let sum = b;
    for (let i = 0; i < x.length; i++) sum += weight.values[row * x.length + i] * x[i];
    return sum;
  });
}

/** A convolution with stride 1, padded to keep the side, of maps inputs × side × side. */
function convolve(maps, side, weight, bias) {
  const [outputs, inputs, size] = weight.shape;
  const margin = (size - 1) / 2;
  const result = new Float64Array(outputs * side * side);
  for (let o = 0; o < outputs; o++) {
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        let sum = bias.values[o];
        for (let i = 0; i < inputs; i++) {
          for (let v = Math.max(0, margin - y); v < Math.min(size, side + margin - y); v++) {
            for (let u = Math.max(0, margin - x); u < Math.min(size, side + margin - x); u++) {
              const pixel = maps[(i * side + y + v - margin) * side + x + u - margin];
              sum += weight.values[((o * inputs + i) * size + v) * size + u] * pixel;
            }
          }
        }
        result[(o * side + y) * side + x] = sum;
      }
    }
  }
  return result;
}

const relu = (x) => x.map((value) => Math.max(value, 0));

/** The largest value of each 2 × 2 block. */
function pool(maps, side) {
  const half = side / 2;
  return Float64Array.from({ length: maps.length / 4 }, (_, i) => {
    const row = Math.floor(i / half);
    const corner = 2 * row * side + 2 * (i % half);
    return Math.max(maps[corner], maps[corner + 1], maps[corner + side], maps[corner + side + 1]);
  });
}

/** The logits of a model for pixels from 0 to 255, and what it makes of them before. */
function forward(model, pixels) {
  const w = weights[model];
  const x = Float64Array.from(pixels, (pixel) => Math.fround(pixel / 255));
  if (model === "logistic") return { x, logits: linear(x, w["layer.weight"], w["layer.bias"]) };
  if (model === "mlp") {
    const hidden = relu(linear(x, w["layer1.weight"], w["layer1.bias"]));
    return { x, hidden, logits: linear(hidden, w["layer2.weight"], w["layer2.bias"]) };
  }
  const first = relu(pool(convolve(x, SIDE, w["conv1.weight"], w["conv1.bias"]), SIDE));
  const half = SIDE / 2;
  const second = relu(pool(convolve(first, half, w["conv2.weight"], w["conv2.bias"]), half));
  return { x, maps: [first, second], logits: linear(second, w["fc.weight"], w["fc.bias"]) };
}

function softmax(logits) {
  const largest = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - largest));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

const best = (values) => values.indexOf(Math.max(...values));

// ---- Ink as MNIST has it.

/**
 * Ink (side × side, 0 to 255) as a digit of MNIST: the box around it scaled so that its longer side
 * is 20 pixels, each the mean of what it covers, and moved in 28 × 28 by whole pixels so that the
 * centre of mass comes to the middle, between -½ and ½ of pixel 14 (LeCun, Cortes and Burges, "The
 * MNIST database of handwritten digits"). Null when there is no ink.
 */
function asInMnist(ink, side) {
  let [top, left, bottom, right] = [side, side, -1, -1];
  for (let i = 0; i < ink.length; i++) {
    if (ink[i] === 0) continue;
    const [y, x] = [Math.floor(i / side), i % side];
    [top, left] = [Math.min(top, y), Math.min(left, x)];
    [bottom, right] = [Math.max(bottom, y), Math.max(right, x)];
  }
  if (bottom < 0) return null;
  const extent = Math.max(bottom - top, right - left) + 1;
  const pitch = extent / BOX; // of the ink's pixels, in one of the digit
  const rows = Math.min(BOX, Math.max(1, Math.round((bottom - top + 1) / pitch)));
  const columns = Math.min(BOX, Math.max(1, Math.round((right - left + 1) / pitch)));
  const down = shares(top, (bottom - top + 1) / rows, rows);
  const across = shares(left, (right - left + 1) / columns, columns);
  const small = new Float64Array(rows * columns);
  let [mass, ofRows, ofColumns] = [0, 0, 0];
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      let mean = 0;
      for (const [y, p] of down[row]) {
        for (const [x, q] of across[column]) mean += p * q * ink[y * side + x];
      }
      small[row * columns + column] = mean;
      mass += mean;
      ofRows += mean * row;
      ofColumns += mean * column;
    }
  }
  const shift = (centre, length) =>
    Math.min(Math.max(Math.round(SIDE / 2 - centre), 0), SIDE - length);
  const [y0, x0] = [shift(ofRows / mass, rows), shift(ofColumns / mass, columns)];
  const digit = new Uint8Array(SIDE * SIDE);
  small.forEach((value, i) => {
    digit[(y0 + Math.floor(i / columns)) * SIDE + x0 + (i % columns)] = Math.round(value);
  });
  return digit;
}

/** For each of `count` stretches of `length` from `start` on: the pixels it covers, by what share. */
function shares(start, length, count) {
  return Array.from({ length: count }, (_, i) => {
    const [from, to] = [start + i * length, start + (i + 1) * length];
    const covered = [];
    for (let pixel = Math.floor(from); pixel < to - 1e-9; pixel++) {
      covered.push([pixel, (Math.min(to, pixel + 1) - Math.max(from, pixel)) / length]);
    }
    return covered;
  });
}

// ---- Answers, and what they are made of.

/** A list of tiles, a canvas with lines of text below each. */
function makeTiles(place, labels) {
  const tiles = labels.map((label) => {
    const canvas = pictured(label);
    const text = element("span");
    const item = element("li", {}, canvas, text);
    return { canvas, text, item };
  });
  place.replaceChildren(...tiles.map((tile) => tile.item));
  return tiles;
}

const tens = Array.from({ length: 10 }, (_, digit) => digit);
const answers = Object.fromEntries(
  LIVE.map((model) => {
    const answer = element("p", { className: "answer" });
    const bars = tens.map((digit) => {
      const bar = element("i");
      const share = element("span");
      const name = element("span", { textContent: digit });
      return { bar, share, item: element("li", {}, name, element("span", {}, bar), share) };
    });
    const list = element("ol", { className: "bars" }, ...bars.map((bar) => bar.item));
    list.setAttribute("aria-label", `${data.titles[model]}: probability of each digit`);
    const heading = element("h3", { textContent: data.titles[model] });
    $("answers").append(element("div", { id: `answer-${model}` }, heading, answer, list));
    return [model, { answer, bars }];
  }),
);
const productTiles = makeTiles($("logistic-tiles"), tens.map((d) => `weight × pixel for digit ${d}`));
const numHidden = weights.mlp["layer1.bias"].values.length;
const unitTiles = makeTiles(
  $("mlp-tiles"),
  Array.from({ length: Math.min(numHidden, MOST_UNITS) }, () => ""),
);
const mapTiles = ["conv1", "conv2"].map((layer, i) =>
  makeTiles(
    $(`cnn-tiles-${i}`),
    Array.from(weights.cnn[`${layer}.bias`].values, (_, map) => `${layer}, feature map ${map}`),
  ),
);
if (numHidden > MOST_UNITS) {
  $("mlp-shown").textContent =
    `Shown are the ${MOST_UNITS} units with the largest activations for this digit.`;
}

const largestOf = (values) => values.reduce((a, value) => Math.max(a, Math.abs(value)), 0);
const percent = (share) => `${(share * 100).toFixed(1)} %`;

function showAnswer(model, logits) {
  const { answer, bars } = answers[model];
  const probabilities = logits ? softmax(logits) : tens.map(() => 0);
  const digit = logits ? best(logits) : null;
  const odds = logits && element("small", { textContent: ` ${percent(probabilities[digit])}` });
  answer.replaceChildren(...(logits ? [String(digit), odds] : ["–"]));
  bars.forEach(({ bar, share, item }, i) => {
    bar.style.width = `${probabilities[i] * 100}%`;
    share.textContent = logits ? percent(probabilities[i]) : "";
    item.classList.toggle("best", i === digit);
  });
}

/** The terms that a layer adds up to the logit of a digit, from equally many inputs each. */
function terms(x, weight, digit, count) {
  const each = x.length / count;
  return Array.from({ length: count }, (_, i) => {
    let sum = 0;
    for (let j = i * each; j < (i + 1) * each; j++) sum += weight.values[digit * x.length + j] * x[j];
    return sum;
  });
}

function sumUp(place, what, digit, parts, bias, logit) {
  const sum = parts.reduce((a, b) => a + b, 0);
  place.textContent =
    `For ${digit}: ${what} add ${signed(sum)}, ` +
    `the bias ${signed(bias)}; the logit is ${signed(logit)}.`;
}

function explainLogistic({ x, logits }, explained) {
  const { "layer.weight": weight, "layer.bias": bias } = weights.logistic;
  const products = weight.values.map((value, i) => value * x[i % x.length]);
  const largest = largestOf(products);
  drawScale($("logistic-scale"), largest, diverging, "weight × pixel");
  productTiles.forEach(({ canvas, text, item }, digit) => {
    const product = products.subarray(digit * x.length, (digit + 1) * x.length);
    paint(canvas, product, SIDE, SIDE, largest, diverging);
    const sum = logits[digit] - bias.values[digit];
    text.replaceChildren(
      element("b", { textContent: `${digit}: ${signed(logits[digit])}` }),
      element("br"),
      `${signed(sum)}, bias ${signed(bias.values[digit])}`,
    );
    item.classList.toggle("best", digit === explained);
  });
}

const unitScale = largestOf(weights.mlp["layer1.weight"].values);
let unitsShown = [];

function explainMlp({ hidden, logits }, explained) {
  const parts = terms(hidden, weights.mlp["layer2.weight"], explained, numHidden);
  const order = Array.from(hidden, (_, unit) => unit);
  if (numHidden > MOST_UNITS) order.sort((a, b) => hidden[b] - hidden[a] || a - b);
  drawScale($("mlp-scale"), unitScale, diverging, "weight");
  unitTiles.forEach(({ canvas, text, item }, i) => {
    const unit = order[i];
    if (unitsShown[i] !== unit) {
      const { values } = weights.mlp["layer1.weight"];
      const pixels = values.subarray(unit * SIDE * SIDE, (unit + 1) * SIDE * SIDE);
      paint(canvas, pixels, SIDE, SIDE, unitScale, diverging);
      canvas.setAttribute("aria-label", `Weights of hidden unit ${unit}`);
      unitsShown[i] = unit;
    }
    text.replaceChildren(
      element("b", { textContent: `unit ${unit}: ${hidden[unit].toFixed(2)}` }),
      element("br"),
      hidden[unit] ? `adds ${signed(parts[unit])}` : "silent",
    );
    item.classList.toggle("quiet", hidden[unit] === 0);
  });
  const bias = weights.mlp["layer2.bias"].values[explained];
  sumUp($("mlp-sum"), "the units", explained, parts, bias, logits[explained]);
}

function explainCnn({ maps, logits }, explained) {
  const parts = terms(maps[1], weights.cnn["fc.weight"], explained, mapTiles[1].length);
  maps.forEach((values, layer) => {
    const largest = largestOf(values);
    drawScale($(`cnn-scale-${layer}`), largest, grey, "activation");
    const size = values.length / mapTiles[layer].length;
    mapTiles[layer].forEach(({ canvas, text }, map) => {
      const side = Math.sqrt(size);
      paint(canvas, values.subarray(map * size, (map + 1) * size), side, side, largest, grey);
      text.textContent = layer === 0 ? `map ${map}` : `map ${map} adds ${signed(parts[map])}`;
    });
  });
  const bias = weights.cnn["fc.bias"].values[explained];
  sumUp($("cnn-sum"), "the maps", explained, parts, bias, logits[explained]);
}

const EXPLAIN = { logistic: explainLogistic, mlp: explainMlp, cnn: explainCnn };
const BLANK = new Uint8Array(SIDE * SIDE);
let current = BLANK; // the digit that the models see
let picked = 0; // the test digit that it is, or null

/** Let the models answer to the current digit, and say why. */
function answer() {
  paint($("seen"), current, SIDE, SIDE, 255, grey);
  const blank = current === BLANK;
  const said = [];
  for (const model of LIVE) {
    const result = forward(model, current);
    showAnswer(model, blank ? null : result.logits);
    const digit = best(result.logits);
    EXPLAIN[model](result, $("explained").value === "" ? digit : Number($("explained").value));
    said.push(`${data.titles[model]} ${digit}`);
  }
  const all = `They say: ${said.join(", ")}.`;
  const label = picked === null ? "" : `Test digit ${picked}, a ${data.digits.labels[picked]}. `;
  $("verdict").textContent = blank ? "Draw something." : label + all;
}

// ---- The drawing area.

const pad = $("pad");
const ink = pad.getContext("2d", { willReadFrequently: true });
const pen = { x: PAD / 2, y: PAD / 2, down: false };
let scheduled = false;

function clear() {
  ink.fillStyle = "#000";
  ink.fillRect(0, 0, PAD, PAD);
  ink.strokeStyle = "#fff";
  ink.lineWidth = 22;
  ink.lineCap = ink.lineJoin = "round";
  current = BLANK;
  picked = null;
}

function pick(index) {
  clear();
  picked = (index + data.digits.labels.length) % data.digits.labels.length;
  current = testDigit(picked);
  ink.imageSmoothingEnabled = false;
  const small = element("canvas");
  paint(small, current, SIDE, SIDE, 255, grey);
  ink.drawImage(small, 0, 0, PAD, PAD);
  $("index").value = picked;
  answer();
}

/** A stroke from one point to another; a first one takes the place of a picked digit. */
function stroke(from, to) {
  if (picked !== null) clear();
  ink.beginPath();
  ink.moveTo(from.x, from.y);
  ink.lineTo(to.x, to.y);
  ink.stroke();
  if (!scheduled) requestAnimationFrame(readInk);
  scheduled = true;
}

function readInk() {
  scheduled = false;
  if (picked !== null) return; // another digit was picked since
  const reds = ink.getImageData(0, 0, PAD, PAD).data.filter((_, i) => i % 4 === 0);
  current = asInMnist(reds, PAD) ?? BLANK;
  answer();
}

function at(event) {
  const box = pad.getBoundingClientRect();
  const scale = PAD / box.width;
  return { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale };
}

let last = null;
pad.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  pad.setPointerCapture(event.pointerId);
  last = at(event);
  stroke(last, last);
});
pad.addEventListener("pointermove", (event) => {
  if (last === null) return;
  for (const each of event.getCoalescedEvents()) {
    const place = at(each);
    stroke(last, place);
    last = place;
  }
});
for (const kind of ["pointerup", "pointercancel"]) {
  pad.addEventListener(kind, () => {
    last = null;
  });
}

function placePen() {
  $("pen").style.left = `${(pen.x / PAD) * 100}%`;
  $("pen").style.top = `${(pen.y / PAD) * 100}%`;
  $("pen").classList.toggle("down", pen.down);
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
pad.addEventListener("keydown", (event) => {
  if (event.key in ARROWS) {
    const [x, y] = ARROWS[event.key];
    const clamp = (value) => Math.min(Math.max(value, STEP), PAD - STEP);
    const to = { x: clamp(pen.x + x * STEP), y: clamp(pen.y + y * STEP) };
    if (pen.down) stroke(pen, to);
    Object.assign(pen, to);
  } else if (event.key === " ") {
    pen.down = !pen.down;
    if (pen.down) stroke(pen, pen);
  } else if (event.key === "Delete" || event.key === "Backspace") {
    clear();
    answer();
  } else {
    return;
  }
  event.preventDefault();
  placePen();
});
pad.addEventListener("blur", () => {
  pen.down = false;
  placePen();
});

$("clear").addEventListener("click", () => {
  clear();
  answer();
});
$("next").addEventListener("click", () => pick((picked ?? -1) + 1));
$("previous").addEventListener("click", () => pick((picked ?? 0) - 1));
$("index").addEventListener("change", () => {
  const index = Math.trunc(Number($("index").value)) || 0;
  pick(Math.min(Math.max(index, 0), data.digits.labels.length - 1));
});
$("explained").addEventListener("change", answer);

/** The next test digit of which something holds. */
function pickNext(holds) {
  const { labels } = data.digits;
  for (let step = 1; step <= labels.length; step++) {
    const index = ((picked ?? -1) + step) % labels.length;
    if (holds(index)) return pick(index);
  }
  return undefined;
}

$("disputed").addEventListener("click", () =>
  pickNext((i) => new Set(LIVE.map((m) => best(forward(m, testDigit(i)).logits))).size > 1),
);
for (const digit of tens) {
  const first = data.digits.labels.indexOf(digit);
  if (first < 0) continue;
  const canvas = element("canvas");
  paint(canvas, testDigit(first), SIDE, SIDE, 255, grey);
  const button = element("button", { type: "button" }, canvas);
  button.setAttribute("aria-label", `Another ${digit}`);
  button.addEventListener("click", () => pickNext((i) => data.digits.labels[i] === digit));
  $("picks").append(button);
}

// ---- Watch it learn.

const history = Object.fromEntries(
  LIVE.map((model) => [
    model,
    { ...data.snapshots[model], steps: unpack(data.snapshots[model].steps, Int8Array) },
  ]),
);
let watched = null;
let watchTiles = [];

function watch(model) {
  watched = model;
  const { steps, units, largest, points } = history[model];
  const [, shown] = steps.shape;
  watchTiles = makeTiles(
    $("watch-tiles"),
    Array.from({ length: shown }, (_, unit) => `Weights ${unit} of ${units}`),
  );
  watchTiles.forEach(({ text }, unit) => {
    text.textContent = unit === shown - 1 && shown < units ? `${unit}, of ${units}` : unit;
  });
  drawScale($("watch-scale"), largest, diverging, "weight");
  for (const name of LIVE) $(`learning-${name}`).hidden = name !== model;
  $("iteration").max = points.length - 1;
  showSnapshot(points.length - 1);
}

function showSnapshot(index) {
  const { steps, points } = history[watched];
  const [, units, height, width] = steps.shape;
  const size = height * width;
  watchTiles.forEach(({ canvas }, unit) => {
    const start = (index * units + unit) * size;
    paint(canvas, steps.values.subarray(start, start + size), height, width, 127, diverging);
  });
  const { iteration, point, places } = points[index];
  const chart = $(`learning-chart-${watched}`);
  chart.querySelectorAll(".dot").forEach((dot, line) => {
    dot.setAttribute("cx", places[line][0]);
    dot.setAttribute("cy", places[line][1]);
  });
  for (const end of ["x1", "x2"]) chart.querySelector(".marker").setAttribute(end, places[0][0]);
  const count = points[points.length - 1].iteration;
  const [, loss, training, validation] = point;
  $("iteration").value = index;
  $("iteration").setAttribute("aria-valuetext", `iteration ${iteration} of ${count}`);
  $("now").textContent =
    `Iteration ${iteration} of ${count}: loss ${number(loss)}, ${percent(training)} of the ` +
    `training images, ${percent(validation)} of the validation images.`;
}

let playing = null;

function stop() {
  clearInterval(playing);
  playing = null;
  $("play").textContent = "Play";
}

function play() {
  if (playing !== null) return stop();
  const end = Number($("iteration").max);
  let index = Number($("iteration").value) === end ? -1 : Number($("iteration").value);
  $("play").textContent = "Stop";
  playing = setInterval(() => {
    index += 1;
    showSnapshot(index);
    if (index === end) stop();
  }, 350);
  return undefined;
}

$("play").hidden = matchMedia("(prefers-reduced-motion: reduce)").matches;
$("play").addEventListener("click", play);
$("iteration").addEventListener("input", () => {
  stop();
  showSnapshot(Number($("iteration").value));
});
for (const radio of document.querySelectorAll("input[name=watched]")) {
  radio.addEventListener("change", () => {
    stop();
    watch(radio.value);
  });
}

watch(LIVE[0]);
placePen();
pick(0);
