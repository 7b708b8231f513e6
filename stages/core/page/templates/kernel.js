// Slide the kernel yourself: a convolution and a pooling over the photograph in grey.

const slid = {}; // the last settings, and what they gave: `input` with padding, `sums`, `output`

{
  const photo = unpack(data.slide.photo, Uint8Array);
  const PHOTO = photo.shape[0]; // its side, pixels
  const greys = Float64Array.from(photo.values, (level) => level / 255);
  const EDITED = 7; // the longest side of a kernel whose weights are fields
  const WAIT = 600; // ms without a change, after which a place is read out
  const KERNELS = [
    ["Identity", [[0, 0, 0], [0, 1, 0], [0, 0, 0]]],
    ["Horizontal edges", [[-1, -2, -1], [0, 0, 0], [1, 2, 1]]],
    ["Vertical edges", [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]],
    ["Edges of any direction (Laplacian)", [[0, 1, 0], [1, -4, 1], [0, 1, 0]]],
    ["Blur", Array.from({ length: 5 }, () => Array(5).fill(0.04))],
    ["Sharpen", [[0, -1, 0], [-1, 5, -1], [0, -1, 0]]],
    ["Emboss", [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]],
  ];

  /** The kernels of a stack N × 1 × side × side, or N × side × side, each with its name. */
  function kernelsOf({ shape, values }, name) {
    const side = shape.at(-1);
    return Array.from({ length: shape[0] }, (_, i) => ({
      name: `${name} ${i}`,
      side,
      weights: Float64Array.from(values.subarray(i * side * side, (i + 1) * side * side)),
    }));
  }

  /** The kernels of the models whose first weights are those of a convolution; by the models. */
  function trainedKernels() {
    return Object.entries(data.models).flatMap(([model, { layers, weights }]) => {
      const title = titleOf(model);
      const first = layers.find(({ name }) => `${name}.weight` in weights);
      if (first.kind !== "conv") return [];
      const stack = unpack(weights[`${first.name}.weight`], Float32Array);
      return [[`${title}: ${first.name}, learned from ${IMAGE}s`, kernelsOf(stack, `${title}, kernel`)]];
    });
  }

  const filters = kernelsOf(unpack(data.slide.filters, Float32Array), "AlexNet, filter").map((kernel, i) => ({
    ...kernel,
    name: `AlexNet, filter ${data.slide.numbers[i]}`,
  }));
  const presets = [
    [
      "Made by hand",
      KERNELS.map(([name, rows]) => ({
        name,
        side: rows.length,
        weights: Float64Array.from(rows.flat()),
      })),
    ],
    ...trainedKernels(),
    ["AlexNet: first layer, learned from photographs", filters],
  ];

  // ---- The arithmetic.

  /** How many places a window of that side finds on so many, a step from one another. */
  const placesOf = (length, side, step) => Math.floor((length - side) / step) + 1;

  /** Maps here are square: a side, and its values row after row. */
  function padded({ side, values }, padding) {
    const result = { side: side + 2 * padding, values: new Float64Array((side + 2 * padding) ** 2) };
    for (let y = 0; y < side; y++) {
      const row = values.subarray(y * side, (y + 1) * side);
      result.values.set(row, (y + padding) * result.side + padding);
    }
    return result;
  }

  /** A square piece of a map, row after row. */
  function piece(map, top, left, side) {
    const found = new Float64Array(side * side);
    for (let y = 0; y < side; y++) {
      const start = (top + y) * map.side + left;
      found.set(map.values.subarray(start, start + side), y * side);
    }
    return found;
  }

  /** What `reduce` makes of the piece at each place of a window. */
  function slideOver(map, window, step, reduce) {
    const side = Math.max(0, placesOf(map.side, window, step));
    const values = new Float64Array(side * side);
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        values[y * side + x] = reduce(map, y * step, x * step);
      }
    }
    return { side, values };
  }

  const sumOf = (values) => values.reduce((a, b) => a + b, 0);
  const meanOf = (values) => sumOf(values) / values.length;
  const largestIn = (values) => values.reduce((a, b) => Math.max(a, b));
  const POOLING = { max: largestIn, average: meanOf };

  function convolved(map, { side, weights }, stride) {
    return slideOver(map, side, stride, ({ side: width, values }, top, left) => {
      let sum = 0;
      for (let v = 0; v < side; v++) {
        const row = (top + v) * width + left;
        for (let u = 0; u < side; u++) sum += weights[v * side + u] * values[row + u];
      }
      return sum;
    });
  }

  function pooled(map, pooling, window) {
    const reduce = POOLING[pooling];
    return slideOver(map, window, window, (all, top, left) => reduce(piece(all, top, left, window)));
  }

  /** The weights around a kernel's centre, or zeros where it has none. */
  function resized({ side, weights }, to) {
    const start = Math.floor((side - to) / 2);
    return Float64Array.from({ length: to * to }, (_, i) => {
      const [y, x] = [start + Math.floor(i / to), start + (i % to)];
      return y >= 0 && y < side && x >= 0 && x < side ? weights[y * side + x] : 0;
    });
  }

  // ---- What is shown.

  const chosen = { kernel: null, padding: 1, stride: 1, pooling: "", window: 2 };
  const place = { row: 0, column: 0 }; // of the output, of which the sum is shown
  let stillTo = null; // say

  /** Tell those who do not see it, once it stays so. */
  function tell(text) {
    clearTimeout(stillTo);
    stillTo = setTimeout(() => {
      $("slide-said").textContent = text;
    }, WAIT);
  }

  const largestSize = (values) => values.reduce((a, value) => Math.max(a, Math.abs(value)), 0);

  /**
   * The colours of sums, and the value at their end: like the photograph's where the kernel keeps
   * its brightness; else from black for zero, or from blue for the lowest to red for the highest.
   */
  function scaleOf(values, { weights }) {
    if (Math.abs(sumOf(weights) - 1) < 1e-9) return [grey, 1];
    return [values.some((value) => value < 0) ? diverging : grey, largestSize(values)];
  }

  /** Black or white, whichever stands out from a colour: by its luminance (WCAG 2). */
  function inkOn(colour) {
    const [red, green, blue] = colour.map((level) =>
      level > 10.3 ? ((level / 255 + 0.055) / 1.055) ** 2.4 : level / 255 / 12.92,
    );
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#000" : "#fff";
  }

  /** A table of numbers in their colours, with the numbers where they fit. */
  function squareIn(place, label) {
    const table = element("table");
    table.setAttribute("aria-label", label);
    place.append(table);
    let cells = [];
    let side = 0;
    return (values, colour, largest, marked = -1) => {
      if (side ** 2 !== values.length) {
        side = Math.sqrt(values.length);
        cells = Array.from(values, () => element("td"));
        const rows = Array.from({ length: side }, (_, row) =>
          element("tr", {}, ...cells.slice(row * side, (row + 1) * side)),
        );
        table.replaceChildren(element("tbody", {}, ...rows));
        table.style.setProperty("--side", side);
        table.className = `square side-${Math.min(side, EDITED + 1)}`;
      }
      cells.forEach((cell, i) => {
        const shade = colour(largest ? values[i] / largest : 0).map(Math.round);
        cell.style.backgroundColor = `rgb(${shade.join(", ")})`;
        cell.style.color = inkOn(shade);
        cell.textContent = side <= EDITED ? fixed(values[i]) : "";
        cell.classList.toggle("marked", i === marked);
      });
    };
  }

  const squares = Object.fromEntries(
    Object.entries({
      patch: "Patch of the input",
      weights: "Weights of the kernel",
      products: "Products of patch and kernel",
      sums: "Sums that are pooled",
    }).map(([name, label]) => [name, squareIn($(`slide-${name}`), label)]),
  );

  /** Lay a frame over a part of a picture; all in its pixels. */
  function frame(mark, top, left, size, side) {
    mark.style.top = `${(top / side) * 100}%`;
    mark.style.left = `${(left / side) * 100}%`;
    mark.style.width = mark.style.height = `${(size / side) * 100}%`;
  }

  /** From where to where, in the photograph without its padding. */
  function stretch(start, length) {
    const from = start - slid.padding;
    return length > 1 ? `${from} to ${from + length - 1}`.replaceAll("-", "−") : `${from}`.replace("-", "−");
  }

  /** The patch, the kernel, the products and their sum at the place that is pointed at. */
  function showPlace() {
    const { kernel, stride, pooling, window, input, sums, output } = slid;
    place.row = Math.min(Math.max(place.row, 0), output.side - 1);
    place.column = Math.min(Math.max(place.column, 0), output.side - 1);
    const { row, column } = place;
    const value = output.values[row * output.side + column];
    const step = pooling ? window : 1;
    const block = piece(sums, row * step, column * step, step);
    const at = pooling === "max" ? block.indexOf(value) : 0; // of the sum that is shown
    const top = (row * step + Math.floor(at / step)) * stride;
    const left = (column * step + (at % step)) * stride;
    const patch = piece(input, top, left, kernel.side);
    const products = patch.map((pixel, i) => pixel * kernel.weights[i]);

    squares.patch(patch, grey, 1);
    squares.weights(kernel.weights, diverging, largestSize(kernel.weights));
    squares.products(products, diverging, largestSize(products));
    squares.sums(block, ...scaleOf(sums.values, kernel), pooling === "max" ? at : -1);
    $("slide-sums").hidden = !pooling;
    frame($("slide-mark"), top, left, kernel.side, input.side);
    const reach = (step - 1) * stride + kernel.side;
    frame($("slide-reach"), row * step * stride, column * step * stride, reach, input.side);
    $("slide-reach").hidden = !pooling;
    frame($("slide-place"), row, column, 1, output.side);

    const sum = sums.values[(row * step + Math.floor(at / step)) * sums.side + column * step + (at % step)];
    const over =
      `rows ${stretch(top, kernel.side)} and columns ${stretch(left, kernel.side)} of the photograph`;
    const [what, which] = { max: ["largest", "It"], average: ["mean", "The first of them"] }[pooling] ?? [];
    $("slide-where").textContent =
      `Row ${row}, column ${column} of the output is ` +
      (pooling
        ? `${number(value)}, the ${what} of ${step} × ${step} sums. ${which} is the sum over ${over}:`
        : `the sum over ${over}:`);
    $("slide-terms").classList.toggle("large", kernel.side > 4);
    $("slide-sum").textContent = `Sum of the ${products.length} products: ${number(sum)}`;
    return `Row ${row}, column ${column}: ${number(value)}`;
  }

  /** Slide the kernel again, and draw what it gives. */
  function slideAgain() {
    const { kernel, padding, stride, pooling, window } = chosen;
    const before = slid.output?.side;
    const input = padded({ side: PHOTO, values: greys }, padding);
    const sums = convolved(input, kernel, stride);
    const output = pooling ? pooled(sums, pooling, window) : sums;
    Object.assign(slid, chosen, { input, sums, output });
    for (const key of ["row", "column"]) {
      place[key] = before ? Math.floor(((place[key] + 0.5) / before) * output.side) : Math.floor(output.side / 2);
    }
    const size = (side) => `${side} × ${side}`;
    paint($("slide-input"), input.values, input.side, input.side, 1, grey);
    frame($("slide-photo"), padding, padding, PHOTO, input.side);
    $("slide-photo").hidden = padding === 0;
    const [colour, largest] = scaleOf(output.values, kernel);
    paint($("slide-output"), output.values, output.side, output.side, largest, colour);
    const beyond = output.values.some((value) => value > largest || (colour === grey && value < 0));
    drawScale($("slide-scale"), largest, colour, beyond ? "and beyond" : "");
    $("slide-input").setAttribute("aria-label", `The input, ${size(input.side)} with its padding`);
    $("slide-output").setAttribute("aria-label", `The output, ${size(output.side)}`);
    $("slide-formula").textContent =
      `⌊(${PHOTO} + 2 · ${padding} − ${kernel.side}) / ${stride}⌋ + 1 = ${sums.side}`;
    $("slide-pooled").textContent = `⌊${sums.side} / ${window}⌋ = ${output.side}`;
    $("slide-pooling-formula").hidden = !pooling;
    showPlace();
    tell(`The output is ${size(output.side)}.`);
  }

  // ---- The controls.

  /** Say below a field why what is in it cannot be used; or nothing, when all is well. */
  function complain(field, problem) {
    field.setAttribute("aria-invalid", problem !== "");
    $(field.getAttribute("aria-describedby")).textContent = problem;
    return problem === "";
  }

  /** Whether a field has a whole number in its range, and the output would have a side. */
  function holdsNumber(field) {
    const [low, high] = [Number(field.min), Number(field.max)];
    const value = Number(field.value);
    const fits = field.value.trim() !== "" && Number.isInteger(value) && value >= low && value <= high;
    return complain(field, fits ? "" : `Type a whole number from ${low} to ${high}.`);
  }

  const fieldsOf = ["padding", "stride", "window"].map((name) => $(`slide-${name}`));
  const pooling = $("slide-pooling");

  function readControls() {
    $("slide-window").disabled = pooling.value === "";
    const used = fieldsOf.filter((field) => !field.disabled);
    if ($("slide-window").disabled) complain($("slide-window"), "");
    if (used.map(holdsNumber).includes(false)) return;
    const [padding, stride, window] = fieldsOf.map((field) => Number(field.value));
    const side = placesOf(PHOTO + 2 * padding, chosen.kernel.side, stride);
    if (pooling.value && window > side) {
      complain($("slide-window"), `The map before it is only ${side} × ${side}: no window fits.`);
      return;
    }
    Object.assign(chosen, { padding, stride, pooling: pooling.value });
    if (pooling.value) chosen.window = window;
    slideAgain();
  }

  /** Take a weight from its field; where it is none, say so, and leave the kernel as it is. */
  function readWeight(field, index) {
    const value = field.value.trim() === "" ? NaN : Number(field.value);
    const { side } = chosen.kernel;
    field.setAttribute("aria-invalid", !Number.isFinite(value));
    const wrong = [...$("slide-kernel").children].findIndex(
      (each) => each.getAttribute("aria-invalid") === "true",
    );
    $("slide-no-weight").textContent =
      wrong < 0 ? "" : `Row ${Math.floor(wrong / side)}, column ${wrong % side}: type a number.`;
    if (!Number.isFinite(value)) return;
    const weights = chosen.kernel.weights.map((weight, i) => (i === index ? value : weight));
    chosen.kernel = { side, weights };
    $("slide-preset").value = "";
    readControls();
  }

  function useKernel(kernel) {
    chosen.kernel = kernel;
    $("slide-filters").hidden = !filters.includes(kernel);
    const { side, weights } = kernel;
    $("slide-side").value = side;
    $("slide-no-weight").textContent = "";
    const grid = $("slide-kernel");
    grid.style.setProperty("--side", side);
    grid.hidden = side > EDITED;
    $("slide-too-many").hidden = side <= EDITED;
    const shown = side > EDITED ? [] : [...weights];
    grid.replaceChildren(
      ...shown.map((weight, i) => {
        const field = element("input", { type: "number", step: "any", value: Number(weight.toFixed(3)) });
        field.setAttribute("aria-label", `Weight in row ${Math.floor(i / side)}, column ${i % side}`);
        field.setAttribute("aria-describedby", "slide-no-weight");
        field.addEventListener("input", () => readWeight(field, i));
        return field;
      }),
    );
    readControls();
  }

  for (const [label, kernels] of presets) {
    const group = element("optgroup", { label });
    for (const { name } of kernels) group.append(element("option", { textContent: name }));
    $("slide-preset").append(group);
  }
  const kernels = presets.flatMap(([, all]) => all);
  [...$("slide-preset").querySelectorAll("optgroup option")].forEach((option, i) => {
    option.value = i;
  });
  const sides = new Set([1, 2, 3, 4, 5, 6, 7, ...kernels.map(({ side }) => side)]);
  for (const side of [...sides].sort((a, b) => a - b)) {
    // Of a longer side are trained kernels alone.
    const option = element("option", { value: side, textContent: `${side} × ${side}` });
    option.disabled = side > EDITED;
    $("slide-side").append(option);
  }

  $("slide-preset").addEventListener("change", () => {
    const { value } = $("slide-preset");
    if (value !== "") useKernel(kernels[value]);
  });
  $("slide-side").addEventListener("change", () => {
    const side = Number($("slide-side").value);
    useKernel({ side, weights: resized(chosen.kernel, side) });
    $("slide-preset").value = "";
  });
  for (const field of fieldsOf) field.addEventListener("input", readControls);
  pooling.addEventListener("change", readControls);

  // ---- Pointing at the output: with the mouse, a finger or the arrow keys.

  const outputCanvas = $("slide-output");

  function pointAt(event) {
    const box = outputCanvas.getBoundingClientRect();
    const { side } = slid.output;
    place.row = Math.floor(((event.clientY - box.top) / box.height) * side);
    place.column = Math.floor(((event.clientX - box.left) / box.width) * side);
    showPlace();
  }

  outputCanvas.addEventListener("pointerdown", pointAt);
  outputCanvas.addEventListener("pointermove", pointAt);
  outputCanvas.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    if (!(event.key in steps)) return;
    const [down, right] = steps[event.key];
    place.row += down * (event.shiftKey ? 10 : 1);
    place.column += right * (event.shiftKey ? 10 : 1);
    event.preventDefault();
    tell(showPlace());
  });

  $("slide").hidden = false;
  $("slide-preset").value = KERNELS.findIndex(([name]) => name === "Vertical edges");
  useKernel(kernels[$("slide-preset").value]);
  clearTimeout(stillTo); // nothing has changed yet
}
