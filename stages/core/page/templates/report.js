const BOX = Math.round((20 / 28) * SIDE); // into which MNIST scales the ink, pixels
const PAD = 280; // side of the drawing area
const STEP = PAD / SIDE; // of the pen by keyboard


/** The pixels of a test image, 0 to 255. */
function testDigit(index) {
  return digits.values.subarray(index * SIDE * SIDE, (index + 1) * SIDE * SIDE);
}

// ---- Ink as MNIST has it.

/**
 * Ink (side × side, 0 to 255) as a digit of MNIST: the box around it scaled so that its longer side
 * is 20 pixels, each the mean of what it covers, and moved in 28 × 28 by whole pixels so that the
 * centre of mass comes to the middle, between -½ and ½ of pixel 14 (LeCun, Cortes and Burges, "The
 * MNIST database of handwritten digits"); for images of another side, in proportion. Null when there
 * is no ink.
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

/** For each of `count` stretches of `length` from `start` on: the pixels it covers, and how far. */
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

// ---- Answers.

const { labels } = data;

const answers = Object.fromEntries(
  LIVE.map((model) => {
    const answer = element("p", { className: "answer" });
    const bars = labels.map((label) => {
      const bar = element("i");
      const share = element("span");
      const name = element("span", { textContent: label });
      return { bar, share, item: element("li", {}, name, element("span", {}, bar), share) };
    });
    const list = element("ol", { className: "bars" }, ...bars.map((bar) => bar.item));
    list.setAttribute("aria-label", `${titleOf(model)}: probability of each ${data.one}`);
    const heading = element("h3", { textContent: titleOf(model) });
    const why = element("a", { href: `#why-${model}`, textContent: "Why?" });
    why.setAttribute("aria-label", `Why? The layers of ${titleOf(model)}`);
    $("answers").append(element("div", { id: `answer-${model}` }, heading, answer, list, why));
    return [model, { answer, bars }];
  }),
);

function showAnswer(model, logits) {
  const { answer, bars } = answers[model];
  const probabilities = logits ? softmax(logits).probabilities : labels.map(() => 0);
  const found = logits ? best(logits) : null;
  const odds = logits && element("small", { textContent: ` ${percent(probabilities[found])}` });
  answer.replaceChildren(...(logits ? [labels[found], odds] : ["–"]));
  answer.classList.toggle("long", logits !== null && labels[found].length > 2);
  bars.forEach(({ bar, share, item }, i) => {
    bar.style.width = `${probabilities[i] * 100}%`;
    share.textContent = logits ? percent(probabilities[i]) : "";
    item.classList.toggle("best", i === found);
  });
}

// ---- Why: what the layers of a model make of an image, block by block.

/** The terms that a layer adds up to the logit of a label, one for each map that it sees. */
function terms({ channels, values }, weight, label) {
  const size = values.length / channels;
  return Array.from({ length: channels }, (_, i) => {
    let sum = 0;
    for (let j = i * size; j < (i + 1) * size; j++) {
      sum += weight.values[label * values.length + j] * values[j];
    }
    return sum;
  });
}

/** Write below a tile; what is there already stays, so that the browser has less to lay out. */
function caption({ lines }, ...texts) {
  texts.forEach((text, i) => {
    if (lines[i].textContent !== text) lines[i].textContent = text;
  });
}

const words = (layers) => layers.map((layer) => data.words[layer.kind]).join(", then ");

/** Whether nothing that a block gives is below zero: no layer after a ReLU changes that. */
const isPositive = ({ after }) => after.some((layer) => layer.kind === "relu");

/** The numbers of all maps; or, of more than `MOST`, those of the most active, largest first. */
function mostActive({ channels, values }) {
  const numbers = Array.from({ length: channels }, (_, i) => i);
  if (channels <= MOST) return numbers;
  const size = values.length / channels;
  const peaks = numbers.map((i) => largestOf(values.subarray(i * size, (i + 1) * size)));
  return numbers.sort((a, b) => peaks[b] - peaks[a] || a - b).slice(0, MOST);
}

const seenAs = ({ before }) => `the ${IMAGE}${before.length ? ` after ${words(before)}` : ""}`;
const adding = (next, what) => (next ? ` Below each ${what} is what it adds to the logit.` : "");
const shownOf = (count, what) =>
  count > MOST ? ` Of the ${count} ${what}, the ${MOST} most active are shown.` : "";
const alsoDropout = ({ after }) =>
  after.some((layer) => layer.kind === "dropout") ? " Dropout only acts while a model learns." : "";

/** A linear layer that sees the picture and gives the logits: weight × pixel, for each label. */
function explainProducts(block, place) {
  const { layer } = block;
  const pixel = block.before.length ? "input" : "pixel";
  place.say(
    `weight × ${pixel}`,
    `Each picture is ${seenAs(block)}, times the weights of one logit: red where it speaks for ` +
      `that logit's ${data.one}, blue where it speaks against it. The sum of a picture and a bias ` +
      "is the logit.",
  );
  const tiles = makeTiles(
    place.list("ten"),
    labels.map((label) => pictured(`weight × ${pixel} for ${data.one} ${label}`)),
  );
  return (seen, logits, explained) => {
    const { height, width, values } = seen;
    const products = layer.weight.values.map((value, i) => value * values[i % values.length]);
    const largest = largestOf(products);
    drawScale(place.scale, largest, diverging, `weight × ${pixel}`);
    tiles.forEach((tile, label) => {
      const product = products.subarray(label * values.length, (label + 1) * values.length);
      paint(tile.picture, product, height, width, largest, diverging);
      const bias = layer.bias.values[label];
      caption(
        tile,
        `${labels[label]}: ${signed(logits[label])}`,
        `${signed(logits[label] - bias)}, bias ${signed(bias)}`,
      );
      tile.item.classList.toggle("best", label === explained);
    });
  };
}

/** What hidden units say below their pictures or bars. */
function captionUnits(tiles, order, block, gives, explained) {
  const parts = block.next && terms(gives, block.next, explained);
  tiles.forEach((tile, i) => {
    const activation = gives.values[order[i]];
    const isSilent = isPositive(block) && activation === 0;
    const adds = parts ? `adds ${signed(parts[order[i]])}` : "";
    caption(tile, `unit ${order[i]}: ${fixed(activation)}`, isSilent ? "silent" : adds);
    tile.item.classList.toggle("quiet", isSilent);
  });
}

const activationOf = (block) => {
  if (isPositive(block)) return ", or zero where that is negative: then the unit is silent";
  const squeezed = block.after.some((layer) => layer.kind === "tanh");
  return squeezed ? ", squeezed by tanh to between −1 and 1" : "";
};

/** A hidden linear layer that sees the picture: its weights, and what each unit answers. */
function explainUnits(block, place) {
  const { weight, units } = block.layer;
  const pixel = block.before.length ? "input" : "pixel";
  place.say(
    `${units} hidden units`,
    `Each picture shows the weights of one unit. Its activation is the sum of weight × ${pixel} ` +
      `and a bias${activationOf(block)}.${adding(block.next, "unit")}${alsoDropout(block)}` +
      shownOf(units, "units"),
  );
  const largest = largestOf(weight.values);
  drawScale(place.scale, largest, diverging, "weight");
  const count = Math.min(units, MOST);
  const tiles = makeTiles(place.list(), Array.from({ length: count }, () => pictured("")));
  const drawn = [];
  return ({ height, width, values }, logits, explained, gives) => {
    const order = mostActive(gives);
    tiles.forEach(({ picture }, i) => {
      const unit = order[i];
      if (drawn[i] === unit) return;
      const row = weight.values.subarray(unit * values.length, (unit + 1) * values.length);
      paint(picture, row, height, width, largest, diverging);
      picture.setAttribute("aria-label", `Weights of hidden unit ${unit}`);
      drawn[i] = unit;
    });
    captionUnits(tiles, order, block, gives, explained);
  };
}

/** A hidden linear layer further on: the activation of each unit as a bar. */
function explainActivations(block, place) {
  const { layer } = block;
  const { units } = layer;
  place.say(
    `${units} hidden units`,
    `Each unit weighs all ${layer.weight.shape[1]} outputs of the layer before. Its activation ` +
      `is the sum of weight × input and a bias${activationOf(block)}.` +
      `${adding(block.next, "unit")}${alsoDropout(block)}` +
      shownOf(units, "units"),
  );
  const count = Math.min(units, MOST);
  const bars = Array.from({ length: count }, () => element("i"));
  const track = isPositive(block) ? "track" : "track signed";
  const tiles = makeTiles(
    place.list("cells"),
    bars.map((bar) => element("span", { className: track }, bar)),
  );
  return (seen, logits, explained, gives) => {
    const order = mostActive(gives);
    const largest = largestOf(gives.values);
    place.scale.textContent = `longest bar: ${number(largest)}`;
    bars.forEach((bar, i) => {
      const activation = gives.values[order[i]];
      bar.style.setProperty("--share", largest && Math.abs(activation) / largest);
      bar.classList.toggle("negative", activation < 0);
    });
    captionUnits(tiles, order, block, gives, explained);
  };
}

/** A convolution: its feature maps, after the layers that follow it. */
function explainMaps(block, place) {
  const { layer, after, next } = block;
  const kernel = layer.weight.shape.slice(block.isFirst ? 2 : 1).join(" × ");
  const over = block.isFirst ? seenAs(block) : "all the maps above at once";
  const left = `This is what ${after.length ? `is left after ${words(after)}` : "it finds"}`;
  const weighs = next ? " The last layer weighs every place of every map." : "";
  place.say(
    `${layer.channels} feature maps`,
    `Each of ${layer.channels} kernels, ${kernel}, slides over ${over}. ${left}.${weighs}` +
      `${adding(next, "map")}${shownOf(layer.channels, "maps")}`,
  );
  const count = Math.min(layer.channels, MOST);
  const tiles = makeTiles(place.list(), Array.from({ length: count }, () => pictured("")));
  const colour = isPositive(block) ? grey : diverging;
  return (seen, logits, explained, gives) => {
    const { height, width, values } = gives;
    const size = height * width;
    const largest = largestOf(values);
    const parts = next && terms(gives, next, explained);
    const order = mostActive(gives);
    drawScale(place.scale, largest, colour, "activation");
    tiles.forEach((tile, i) => {
      const map = order[i];
      const pixels = values.subarray(map * size, (map + 1) * size);
      paint(tile.picture, pixels, height, width, largest, colour);
      tile.picture.setAttribute("aria-label", `${layer.name}, feature map ${map}`);
      caption(tile, `map ${map}`, parts ? `adds ${signed(parts[map])}` : "");
    });
  };
}

/** The last layer after hidden ones: the sum that it makes of them, in a sentence. */
function explainSum({ layer }, place, previous) {
  const what = previous.layer.kind === "conv" ? "maps" : "units";
  const sum = place.sentence();
  return (seen, logits, explained) => {
    const bias = layer.bias.values[explained];
    sum.textContent =
      `For ${labels[explained]}: the ${what} add ${signed(logits[explained] - bias)}, ` +
      `the bias ${signed(bias)}; the logit is ${signed(logits[explained])}.`;
  };
}

/** How a block is explained follows from what it is, and from where it stands. */
function explainer({ layer, isFirst, isLast }) {
  if (layer.kind === "conv") return explainMaps;
  if (isFirst) return isLast ? explainProducts : explainUnits;
  return isLast ? explainSum : explainActivations;
}

/** A part of the page for a block: a heading, a text, a scale and a list of tiles, as needed. */
function placeOf(block, section) {
  const scale = element("div", { className: "scale" });
  const place = element("div", { className: "block" });
  place.dataset.layer = block.layer.name;
  section.append(place);
  return {
    scale,
    say(what, text) {
      const names = [...block.before, block.layer, ...block.after].map((layer) => layer.name);
      const codes = names.flatMap((name, i) => [
        ...(i ? [" → "] : []),
        element("code", { textContent: name }),
      ]);
      const heading = element("h5", {}, ...codes, `: ${what}`);
      place.append(heading, element("p", { textContent: text }), scale);
    },
    list(kind = "") {
      const list = element("ul", { className: `tiles ${kind}` });
      place.append(list);
      return list;
    },
    sentence() {
      const sentence = element("p", { className: "ui sum" });
      place.append(sentence);
      return sentence;
    },
  };
}

/** A section of the page that explains a model; and how to show there what it makes of an image. */
function explanationOf(model) {
  const id = `why-${model}`;
  const section = element("section", {}, element("h4", { id, textContent: titleOf(model) }));
  section.setAttribute("aria-labelledby", id);
  $("explanations").append(section);
  const blocks = blocksOf(model);
  const shows = blocks.map((block, i) =>
    explainer(block)(block, placeOf(block, section), blocks[i - 1]),
  );
  return ({ maps, logits }, explained) => {
    blocks.forEach(({ sees, gives }, i) => shows[i](maps[sees], logits, explained, maps[gives]));
  };
}

const explain = Object.fromEntries(LIVE.map((model) => [model, explanationOf(model)]));
const BLANK = new Uint8Array(SIDE * SIDE);
let current = BLANK; // the image that the models see
let picked = 0; // the test image that it is, or null
let taken = null; // what it is, if it was taken from elsewhere in the page

/** Let the models answer to the current image, and say why. */
function answer() {
  for (const seen of document.querySelectorAll(".seen-digit")) {
    paint(seen, current, SIDE, SIDE, 255, grey);
  }
  const blank = current === BLANK;
  const said = [];
  for (const model of LIVE) {
    const result = forward(model, current);
    showAnswer(model, blank ? null : result.logits);
    const found = best(result.logits);
    explain[model](result, $("explained").value === "" ? found : Number($("explained").value));
    said.push([titleOf(model), labels[found]]);
  }
  const together = said.map((pair) => pair.join(" ")).join(", ");
  const all = said.length > 1 ? `They say: ${together}.` : `It says ${said[0][1]}.`;
  $("verdict").textContent = blank ? "Draw something." : aboutPicked() + all;
  document.dispatchEvent(new Event("answered"));
}

/** Which test image it is, and of what, or what else it is, if it was not drawn. */
function aboutPicked() {
  if (picked === null) return taken ? `${taken}. ` : "";
  const label = labels[data.digits.labels[picked]];
  if (data.one !== "digit") return `Test image ${picked}: ${label}. `;
  return `Test digit ${picked}, ${label === "8" ? "an" : "a"} ${label}. `;
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
  picked = taken = null;
  $("index").value = "";
  refuse("");
}

/** Say why a number is no test image of this page; or nothing, when all is well. */
function refuse(problem) {
  $("no-such-digit").textContent = problem;
  $("index").setAttribute("aria-invalid", problem !== "");
}

/** Show pixels, 0 to 255, that were not drawn. */
function show(pixels) {
  clear();
  current = pixels;
  ink.imageSmoothingEnabled = false;
  const small = element("canvas");
  paint(small, current, SIDE, SIDE, 255, grey);
  ink.drawImage(small, 0, 0, PAD, PAD);
}

function pick(index) {
  const count = data.digits.labels.length;
  const wanted = (index + count) % count;
  show(testDigit(wanted));
  picked = wanted;
  $("index").value = picked;
  answer();
}

/** Take an image from elsewhere in the page. */
function take(pixels, what) {
  show(pixels);
  taken = what;
  answer();
}

/** A stroke from one point to another; a first one takes the place of an image that is there. */
function stroke(from, to) {
  if (picked !== null || taken !== null) clear();
  ink.beginPath();
  ink.moveTo(from.x, from.y);
  ink.lineTo(to.x, to.y);
  ink.stroke();
  if (!scheduled) requestAnimationFrame(readInk);
  scheduled = true;
}

function readInk() {
  scheduled = false;
  if (picked !== null || taken !== null) return; // another image took its place since
  const { data: colours } = ink.getImageData(0, 0, PAD, PAD);
  const reds = new Uint8Array(PAD * PAD);
  for (let i = 0; i < reds.length; i++) reds[i] = colours[4 * i];
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
  const { value } = $("index");
  const last = data.digits.labels.length - 1;
  const index = Number(value);
  if (value === "" || !Number.isInteger(index)) refuse(`Type a whole number from 0 to ${last}.`);
  else if (index < 0 || index > last) refuse(`Test ${IMAGE} ${value} is not in this page: it has 0 to ${last}.`);
  else pick(index);
});
$("explained").addEventListener("change", answer);

/** Go on to the next test image of which something holds. */
function pickNext(holds) {
  const count = data.digits.labels.length;
  for (let step = 1; step <= count; step++) {
    const index = ((picked ?? -1) + step) % count;
    if (holds(index)) return pick(index);
  }
  return undefined;
}

$("disputed")?.addEventListener("click", () =>
  pickNext((i) => new Set(LIVE.map((m) => best(forward(m, testDigit(i)).logits))).size > 1),
);
labels.forEach((name, label) => {
  const first = data.digits.labels.indexOf(label);
  if (first < 0) return;
  const canvas = element("canvas");
  paint(canvas, testDigit(first), SIDE, SIDE, 255, grey);
  const button = element("button", { type: "button" }, canvas);
  button.setAttribute("aria-label", `Another ${name}`);
  button.addEventListener("click", () => pickNext((i) => data.digits.labels[i] === label));
  $("picks").append(button);
});

// ---- Watch it learn.

const history = Object.fromEntries(
  Object.entries(data.snapshots).map(([model, found]) => [
    model,
    { ...found, steps: unpack(found.steps, Int8Array) },
  ]),
);
let watched = null;
let watchTiles = [];

function watch(model) {
  watched = model;
  const { layer, steps, units, largest, points } = history[model];
  const [, shown] = steps.shape;
  const [{ layer: first, isLast }] = blocksOf(model);
  const one = first.kind === "conv" ? "kernel" : isLast ? data.one : "unit";
  const nameOf = (i) => (one === data.one ? labels[i] : i);
  const pictures = Array.from({ length: shown }, (_, i) => pictured(`Weights of ${one} ${nameOf(i)}`));
  watchTiles = makeTiles($("watch-tiles"), pictures);
  watchTiles.forEach(({ lines }, i) => {
    lines[1].textContent = nameOf(i);
  });
  const some = shown < units ? `, the first ${shown} of ${units}` : "";
  $("watch-shown").replaceChildren(
    element("code", { textContent: layer }),
    `: the weights of each ${one}${some}.`,
  );
  drawScale($("watch-scale"), largest, diverging, "weight");
  for (const name of Object.keys(history)) $(`learning-${name}`).hidden = name !== model;
  $("iteration").max = points.length - 1;
  showSnapshot(points.length - 1);
}

function showSnapshot(index) {
  const { steps, points } = history[watched];
  const [, units, height, width] = steps.shape;
  const size = height * width;
  watchTiles.forEach(({ picture }, unit) => {
    const start = (index * units + unit) * size;
    paint(picture, steps.values.subarray(start, start + size), height, width, 127, diverging);
  });
  const { iteration, point, places } = points[index];
  const chart = $(`chart-learning-${watched}`);
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
    `Iteration ${iteration} of ${count}: loss ${rounded(loss, 3)}; ${percent(training)} of the ` +
    `training images and ${percent(validation)} of the validation images recognised.`;
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

if ($("watch")) {
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

  watch(document.querySelector("input[name=watched]:checked")?.value ?? Object.keys(history)[0]);
}

placePen();
pick(0);
