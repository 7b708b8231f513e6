// The trained models: what each layer makes of a digit.

const digits = unpack(data.digits, Uint8Array); // of the test images
const SIDE = digits.shape[1]; // of an image, pixels
const titleOf = (model) => data.titles[model];

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

/** The models of the page, with their trained weights, in the engine. */
const engines = Object.fromEntries(
  Object.entries(layersOf).map(([model, layers]) => {
    const made = new Model(layers, [1, SIDE, SIDE]);
    const trained = layers.filter((layer) => layer.weight);
    const parameters = trained.flatMap((layer) => [layer.weight.values, layer.bias.values]);
    made.parameters.forEach((parameter, i) => parameter.set(parameters[i]));
    return [model, made];
  }),
);

/** What a model makes of pixels from 0 to 255: the maps that each layer sees, and the logits. What
 * a linear layer gives is units × 1 × 1. */
function forward(model, pixels) {
  const seen = [];
  const x = Float32Array.from(pixels, (pixel) => PIXELS[pixel]);
  const logits = engines[model].forward(x, 1, false, seen).slice();
  const shapes = [[1, SIDE, SIDE], ...engines[model].layers.map((layer) => layer.outputShape)];
  const maps = [...seen, logits].map((values, i) => {
    const [channels, height = 1, width = 1] = shapes[i];
    return { channels, height, width, values: values.slice() };
  });
  return { maps, logits };
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
