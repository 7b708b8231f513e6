// Which pixels speak for an answer: live for the image that is drawn or picked, by a worker with the
// engine; and the cases that the pipeline found.

const whys = data.attributions;
const THIRDS = [
  ["upper left", "top", "upper right"], ["left", "middle", "right"], ["lower left", "bottom", "lower right"],
];

/** Where in a picture a map has the most of a sign, in words; nothing if it has none. */
function placeOfMost({ height, width, values }, sign) {
  const sums = new Float64Array(9);
  values.forEach((value, i) => {
    const [row, column] = [Math.floor(i / width) / height, (i % width) / width];
    sums[Math.floor(3 * row) * 3 + Math.floor(3 * column)] += Math.max(sign * value, 0);
  });
  const most = sums.indexOf(Math.max(...sums));
  return sums[most] > 0 ? THIRDS[Math.floor(most / 3)][most % 3] : "";
}

/** A map in words, for those who do not see it. */
function inPlaces(name, map, [answer, rival]) {
  const [pro, contra] = [placeOfMost(map, 1), placeOfMost(map, -1)];
  const parts = [pro && `most for ${answer}: ${pro}`, contra && `most for ${rival}: ${contra}`];
  return `${name}; ${parts.filter(Boolean).join("; ") || "nothing"}`;
}

/** A place for a case: a heading, and three pictures side by side, with words and a scale each. */
function placeOfCase(list, title) {
  const heading = element("p", { className: "case-heading" });
  const pictures = ["the image", "gradient × input", "occlusion"].map((name) => {
    const [canvas, scale] = [pictured(name), element("div", { className: "scale" })];
    return { name, canvas, scale, item: element("div", {}, canvas, element("span", {}, name), scale) };
  });
  const sum = element("p", { className: "hint" });
  const trio = element("div", { className: "trio" }, ...pictures.map(({ item }) => item));
  const top = title ? [element("h4", { textContent: title })] : [];
  list.append(element("li", {}, ...top, heading, trio, sum));
  return { heading, pictures, sum };
}

/** Show how far one name is ahead of the other, and both maps, painted by `paints`. */
function fillCase({ heading, pictures }, names, lead, maps, paints) {
  const [answer, rival] = names.map((name) => element("bdi", { textContent: name }));
  heading.replaceChildren(element("b", {}, answer), " rather than ", rival, `: ${signed(lead)}`);
  maps.forEach((map, i) => {
    const { name, canvas, scale } = pictures[i + 1];
    paints[i](canvas, map);
    canvas.setAttribute("aria-label", inPlaces(name, map, names));
    drawScale(scale, map.largest, diverging, "");
  });
}

/** The edges between ink and what is none, as lines over a picture of `side` pixels a row. */
function drawOutline(canvas, pixels, side) {
  const context = canvas.getContext("2d");
  const zoom = canvas.width / side;
  const isInk = (row, column) =>
    Math.min(row, column) >= 0 && Math.max(row, column) < side && pixels[row * side + column] > 127;
  context.beginPath();
  for (let row = 0; row <= side; row++) {
    for (let column = 0; column <= side; column++) {
      const [x, y] = [column * zoom, row * zoom];
      if (isInk(row, column) !== isInk(row, column - 1)) {
        context.moveTo(x, y);
        context.lineTo(x, y + zoom);
      }
      if (isInk(row, column) !== isInk(row - 1, column)) {
        context.moveTo(x, y);
        context.lineTo(x + zoom, y);
      }
    }
  }
  context.strokeStyle = "#3c3c3c";
  context.stroke();
}

/** Paint a map of places, `pitch` pixels each, as large as the picture of `side` pixels a row. */
function paintPlaces(canvas, { height, width, values, largest }, side, pitch) {
  const small = element("canvas");
  paint(small, values, height, width, largest, diverging);
  const zoom = Math.max(1, Math.round(224 / side));
  canvas.width = canvas.height = side * zoom;
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, width * pitch * zoom, height * pitch * zoom);
}

/** Show a case of a square grey image, `pixels` from 0 to 255. */
function fillDigit(place, pixels, names, lead, products, hidden) {
  const side = products.width;
  paint(place.pictures[0].canvas, pixels, side, side, 255, grey);
  place.pictures[0].canvas.setAttribute("aria-label", "the image");
  fillCase(place, names, lead, [products, hidden], [
    (canvas, { height, width, values, largest }) => paint(canvas, values, height, width, largest, diverging),
    (canvas, map) => {
      paintPlaces(canvas, map, side, whys.stride);
      drawOutline(canvas, pixels, side);
    },
  ]);
}

/** One of the maps that Python packed as bytes. */
function mapOf({ shape, values, largest }, i) {
  const [, height, width] = shape;
  const bytes = values.subarray(i * height * width, (i + 1) * height * width);
  return { height, width, largest: largest[i], values: Float32Array.from(bytes, (b) => (b / 127) * largest[i]) };
}

const unpackMaps = (maps) => ({ ...unpack(maps, Int8Array), largest: maps.largest });

for (const [model, { images, pairs, leads, products, hidden }] of Object.entries(whys.models)) {
  const digitsOfCases = unpack(images, Uint8Array).values;
  const maps = [products, hidden].map(unpackMaps);
  pairs.forEach((names, i) => {
    const both = maps.map((each) => mapOf(each, i));
    const size = both[0].values.length;
    const pixels = digitsOfCases.subarray(i * size, (i + 1) * size);
    fillDigit(placeOfCase($(`cases-${model}`)), pixels, names, leads[i], ...both);
  });
}

// ---- One's own images.

/** Lay a map over a grey picture, of as many pixels as the canvas: white stands for the picture. */
function lay(canvas, picture, map, cells) {
  const side = picture.width;
  const greys = Float32Array.from({ length: side * side }, (_, i) => {
    const [r, g, b] = picture.data.subarray(4 * i, 4 * i + 3);
    return 0.6 + (0.4 * (0.299 * r + 0.587 * g + 0.114 * b)) / 255;
  });
  const image = new ImageData(side, side);
  greys.forEach((light, i) => {
    const row = Math.floor((Math.floor(i / side) * cells) / side);
    const column = Math.floor(((i % side) * cells) / side);
    const share = map.largest ? map.values[row * map.width + column] / map.largest : 0;
    image.data.set([...diverging(share).map((level) => level * light), 255], 4 * i);
  });
  canvas.width = canvas.height = side;
  canvas.getContext("2d").putImageData(image, 0, 0);
}

async function showOwn({ pictures, pairs, leads, products, hidden, cells }) {
  const maps = [products, hidden].map(unpackMaps);
  const places = pairs.map(() => placeOfCase($("cases-own")));
  for (const [i, picture] of pictures.entries()) {
    const image = element("img", { src: `data:image/jpeg;base64,${picture}` });
    await image.decode();
    const { canvas } = places[i].pictures[0];
    canvas.width = canvas.height = image.width;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    const pixels = context.getImageData(0, 0, image.width, image.width);
    const both = maps.map((each) => mapOf(each, i));
    const paints = cells.map((count) => (to, map) => lay(to, pixels, map, count));
    fillCase(places[i], pairs[i], leads[i], both, paints);
  }
}

showOwn(whys.images);

// ---- Live: for the image that is drawn or picked, for each model that answers in the page.

if (data.live.length > 0) {
  const places = Object.fromEntries(
    data.live.map((model) => [model, placeOfCase($("cases-live"), titleOf(model))]),
  );
  const address = URL.createObjectURL(
    new Blob([`${$("engine").textContent}\nattribute();`], { type: "text/javascript" }),
  );
  const worker = new Worker(address);
  URL.revokeObjectURL(address);
  let waiting = null; // what to ask once the worker has answered: the latest image
  let isBusy = false;

  const ask = () => {
    if (isBusy || waiting === null) return;
    worker.postMessage(waiting);
    [isBusy, waiting] = [true, null];
  };

  const wanted = (id) => ($(id).value === "" ? null : Number($(id).value));

  const renew = () => {
    waiting = {
      pixels: Uint8Array.from(current),
      answer: wanted("explained-answer"),
      rival: wanted("explained-rival"),
    };
    ask();
  };

  worker.onmessage = ({ data: { pixels, found } }) => {
    isBusy = false;
    for (const [model, { pair, lead, sum, products, hidden }] of found) {
      const all = [products, hidden].map((map) => ({ ...map, largest: largestOf(map.values) }));
      fillDigit(places[model], pixels, pair.map((label) => labels[label]), lead, ...all);
      const bent = data.models[model].layers.some((layer) => layer.kind === "tanh");
      places[model].sum.textContent =
        `Gradient × input adds up to ${signed(sum)}; the rest, ${signed(lead - sum)}, comes from ` +
        `biases${bent ? " and from the bends of tanh" : ""}.`;
    }
    $("cases-live").setAttribute("aria-busy", "false");
    ask();
  };

  worker.postMessage({
    models: Object.fromEntries(
      data.live.map((model) => {
        const { layers } = data.models[model];
        return [model, { layers, parameters: engines[model].parameters }];
      }),
    ),
    shape: [1, SIDE, SIDE],
    window: whys.window,
    stride: whys.stride,
  });
  document.addEventListener("answered", renew);
  for (const id of ["explained-answer", "explained-rival"]) $(id).addEventListener("change", renew);
  $("mistaken").addEventListener("click", () =>
    pickNext((i) => data.live.some((m) => best(forward(m, testDigit(i)).logits) !== data.digits.labels[i])),
  );
  renew();
}
