// The models: what each layer makes of a digit. Everything that passes between layers has one form,
// feature maps, channels × height × width: what a linear layer gives is units × 1 × 1.

const SIDE = 28; // of a digit, pixels

/** A model's layers, each with its name, its parameters and, where it has them, its weights. */
function load({ layers, weights }) {
  const part = (name) => weights[name] && unpack(weights[name], Float32Array);
  return layers.map((layer) => ({
    ...layer,
    weight: part(`${layer.name}.weight`),
    bias: part(`${layer.name}.bias`),
  }));
}

const layersOf = Object.fromEntries(
  Object.entries(data.models).map(([model, about]) => [model, load(about)]),
);
const LIVE = data.live;

function emptyMaps(channels, height, width) {
  return { channels, height, width, values: new Float64Array(channels * height * width) };
}

/** The first and one past the last output of a kernel's place that lie on the input. */
function reach(offset, stride, inputs, outputs) {
  const first = Math.max(0, Math.ceil(-offset / stride));
  return [first, Math.min(outputs, Math.floor((inputs - 1 - offset) / stride) + 1)];
}

/** Each weight is multiplied with all that it meets, a row at a time: the fastest order here. */
function convolve(maps, { channels, kernel, padding, stride, weight, bias }) {
  const { height, width, values } = maps;
  const side = (length) => Math.floor((length + 2 * padding - kernel) / stride) + 1;
  const result = emptyMaps(channels, side(height), side(width));
  const size = result.height * result.width;
  let place = 0; // in the weights
  for (let o = 0; o < channels; o++) {
    result.values.fill(bias.values[o], o * size, (o + 1) * size);
    for (let i = 0; i < maps.channels; i++) {
      for (let v = 0; v < kernel; v++) {
        const [top, bottom] = reach(v - padding, stride, height, result.height);
        for (let u = 0; u < kernel; u++) {
          const factor = weight.values[place++];
          const [left, right] = reach(u - padding, stride, width, result.width);
          for (let y = top; y < bottom; y++) {
            const from = (i * height + y * stride + v - padding) * width + u - padding;
            const to = o * size + y * result.width;
            for (let x = left; x < right; x++) {
              result.values[to + x] += factor * values[from + x * stride];
            }
          }
        }
      }
    }
  }
  return result;
}

/** Each window × window block in one number; rows and columns that fill no block are dropped. */
function pool(maps, window, start, add) {
  const result = emptyMaps(
    maps.channels,
    Math.floor(maps.height / window),
    Math.floor(maps.width / window),
  );
  let place = 0;
  for (let channel = 0; channel < maps.channels; channel++) {
    for (let y = 0; y < result.height; y++) {
      for (let x = 0; x < result.width; x++) {
        let found = start;
        for (let v = 0; v < window; v++) {
          const row = (channel * maps.height + y * window + v) * maps.width + x * window;
          for (let u = 0; u < window; u++) found = add(found, maps.values[row + u]);
        }
        result.values[place++] = found;
      }
    }
  }
  return result;
}

/** A sum of weight × input and a bias for each unit, of feature maps one after another. */
function linear({ values }, { units, weight, bias }) {
  const result = emptyMaps(units, 1, 1);
  for (let unit = 0; unit < units; unit++) {
    const row = unit * values.length;
    let sum = bias.values[unit];
    for (let i = 0; i < values.length; i++) sum += weight.values[row + i] * values[i];
    result.values[unit] = sum;
  }
  return result;
}

const each = (maps, change) => ({ ...maps, values: maps.values.map(change) });

const RUN = {
  conv: convolve,
  max_pool: (maps, { window }) => pool(maps, window, -Infinity, (a, b) => (b > a ? b : a)),
  avg_pool: (maps, { window }) => pool(maps, window, 0, (sum, value) => sum + value / window ** 2),
  relu: (maps) => each(maps, (value) => (value > 0 ? value : 0)),
  tanh: (maps) => each(maps, Math.tanh),
  dropout: (maps) => maps, // it acts only while a model learns
  linear,
};

/** What a model makes of pixels from 0 to 255: the maps that each layer sees, and the logits. */
function forward(model, pixels) {
  const values = Float64Array.from(pixels, (pixel) => Math.fround(pixel / 255));
  const maps = [{ channels: 1, height: SIDE, width: SIDE, values }];
  for (const layer of layersOf[model]) maps.push(RUN[layer.kind](maps.at(-1), layer));
  return { maps, logits: maps.at(-1).values };
}

/**
 * A model in blocks: a layer with weights and the weightless ones after it. Each knows the places,
 * among what `forward` finds, of what it sees and of what it gives; the layers `before` it when it
 * is the first; and the last layer's weight where that comes `next`.
 */
function blocksOf(model) {
  const layers = layersOf[model];
  const places = layers.flatMap((layer, place) => (layer.weight ? [place] : []));
  const last = layers.at(-1);
  return places.map((place, i) => {
    const end = places[i + 1] ?? layers.length;
    return {
      layer: layers[place],
      before: i === 0 ? layers.slice(0, place) : [],
      after: layers.slice(place + 1, end),
      sees: place,
      gives: end,
      isFirst: i === 0,
      isLast: layers[place] === last,
      next: layers[end] === last ? last.weight : null,
    };
  });
}

function softmax(logits) {
  const largest = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - largest));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

const best = (values) => values.indexOf(Math.max(...values));
