"use strict";

// Models: what they answer, and how they learn, to the same bits as in the pipeline. This follows the
// contract in stages/core/exact/__init__.py, operation by operation; the names are those used there.
// It knows nothing of the page: it runs in it, in a worker, and anywhere else.
//
// What passes between layers are float32, feature maps or units one after another, examples one
// after another. Integers are float64. Math.exp, Math.log and Math.tanh differ between browsers.

// ---- Numbers.

const LN2 = 0.6931471805599453; // the nearest float64
const SQRT_HALF = 0.7071067811865476;
const LEAST = -700; // below, e^x nears the end of what float64 can hold
const SIGNIFICAND = 53; // bits of float64

const float = new Float64Array(1);
const bits32 = new Uint32Array(float.buffer); // the upper half second, as in all that runs browsers

/** 2^n, for n from -1022 to 1023. */
function power(n) {
  bits32[0] = 0;
  bits32[1] = (n + 1023) << 20;
  return float[0];
}

/** The E with |x| < 2^E, but not below 2^(E - 1); 0 for 0. x is finite. */
function exponentOf(x) {
  if (x === 0) return 0;
  float[0] = x;
  const exponent = (bits32[1] >>> 20) & 2047;
  return exponent === 0 ? exponentOf(x * 2 ** 54) - 54 : exponent - 1022;
}

/** The nearest integer, ties to even. Adding 2^52 leaves no bits for a fraction. */
function rint(x) {
  if (!(Math.abs(x) < 2 ** 52)) return x;
  return x < 0 ? x - 2 ** 52 + 2 ** 52 : x + 2 ** 52 - 2 ** 52;
}

/** e^x for x up to 0. */
function exp(x) {
  if (Number.isNaN(x)) return x;
  const v = x < LEAST ? LEAST : x;
  const k = rint(v * (1 / LN2));
  const r = v - k * LN2;
  let series = 1;
  for (let i = 14; i > 0; i--) series = (series * r) / i + 1;
  return series * power(k);
}

/** The natural logarithm of x > 0. */
function log(x) {
  let [m, e] = [x, 0];
  if (Number.isFinite(x)) {
    e = exponentOf(x);
    m = e < -1000 ? x * 2 ** 54 * power(-e - 54) : x / power(e - 1) / 2;
    if (m < SQRT_HALF) [m, e] = [2 * m, e - 1];
  }
  const s = (m - 1) / (m + 1);
  let series = 0;
  for (let i = 21; i > 0; i -= 2) series = series * (s * s) + 1 / i;
  return 2 * s * series + e * LN2;
}

function tanh(x) {
  if (Math.abs(x) < 2 ** -10) return x - (x * x * x) / 3;
  const t = exp(-2 * Math.abs(x));
  const share = (1 - t) / (1 + t);
  return x < 0 ? -share : share;
}

// ---- Integers, small enough that their sums and products are exact.

const ceilLog2 = (count) => 32 - Math.clz32(count - 1);
const sumBits = (numTerms) => SIGNIFICAND - ceilLog2(numTerms);
const productBits = (numTerms) => Math.floor(sumBits(numTerms) / 2);

/** What an integer is worth, when those of x from `start` to `end` have so many bits. */
function unitOf(x, start, end, bits) {
  let largest = 0;
  for (let i = start; i < end; i++) largest = Math.max(largest, Math.abs(x[i])); // nan stays
  return Number.isFinite(largest) ? power(exponentOf(largest) - bits) : NaN;
}

/** The integers of x from `start` to `end`, for a unit, into `found` from `at` on. */
function toIntegers(x, start, end, unit, found, at) {
  const scale = 1 / unit;
  const shift = at - start;
  for (let i = start; i < end; i++) found[i + shift] = rint(x[i] * scale);
}

/** All of x as integers, and their unit. */
function integersOf(x, bits) {
  const found = new Float64Array(x.length);
  const unit = unitOf(x, 0, x.length, bits);
  toIntegers(x, 0, x.length, unit, found, 0);
  return [found, unit];
}

/** The sum of each group of numbers: that of x[i] is groupOf(i). All groups have `numTerms`. */
function exactSums(x, numGroups, numTerms, groupOf) {
  const [integers, unit] = integersOf(x, sumBits(numTerms));
  const totals = new Float64Array(numGroups);
  for (let i = 0; i < integers.length; i++) totals[groupOf(i)] += integers[i];
  return totals.map((total) => total * unit);
}

const exactMean = (x) => exactSums(x, 1, x.length, () => 0)[0] / x.length;

// ---- Random numbers.

const WEIGHTS = 1; // purposes
const ORDER = 2;
const DROPOUT = 3;

/** The words of a seed and a purpose: MT19937 by Matsumoto and Nishimura, init_by_array. */
class Words {
  constructor(seed, purpose) {
    const key = [seed, purpose];
    const state = new Uint32Array(624);
    const mixed = (i, factor) =>
      (state[i] ^ Math.imul(state[i - 1] ^ (state[i - 1] >>> 30), factor)) >>> 0;
    state[0] = 19650218;
    for (let i = 1; i < 624; i++) {
      state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
    }
    let i = 1;
    const next = () => {
      i += 1;
      if (i === 624) [state[0], i] = [state[623], 1];
    };
    for (let k = 0; k < 624; k++, next()) state[i] = mixed(i, 1664525) + key[k % 2] + (k % 2);
    for (let k = 0; k < 623; k++, next()) state[i] = mixed(i, 1566083941) - i;
    state[0] = 0x80000000;
    this.state = state;
    this.place = 624;
  }

  twist() {
    const { state } = this;
    for (let i = 0; i < 624; i++) {
      const y = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7fffffff);
      state[i] = state[(i + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.place = 0;
  }

  /** The next words, as many as that. */
  take(count) {
    const found = new Uint32Array(count);
    for (let i = 0; i < count; i++) {
      if (this.place === 624) this.twist();
      let y = this.state[this.place++];
      y ^= y >>> 11;
      y ^= (y << 7) & 0x9d2c5680;
      y ^= (y << 15) & 0xefc60000;
      found[i] = y ^ (y >>> 18);
    }
    return found;
  }
}

function initialWeights(words, count, fanIn) {
  const largest = 1 / Math.sqrt(fanIn);
  return Float32Array.from(words.take(count), (word) => ((word >>> 8) / 2 ** 23 - 1) * largest);
}

/** The numbers below `count`, up to 2^20, in random order: words sorted with their indices. */
function shuffled(words, count) {
  const keys = Float64Array.from(words.take(count), (word, i) => word * 2 ** 20 + i);
  return keys.sort().map((key) => key % 2 ** 20);
}

const keeps = (words, count, p) => words.take(count).map((word) => (word >= p * 2 ** 32 ? 1 : 0));

// ---- Layers. `forward` takes `count` examples, and `backward`, after it, the gradient of what that
// gave: it keeps those of the layer's parameters and returns that of the input. What they return is
// theirs, and is overwritten by the next call.

/** Room for numbers, which grows when more is needed. */
class Room {
  constructor(Type) {
    this.values = new Type(0);
  }

  take(length) {
    if (this.values.length < length) this.values = new this.values.constructor(length);
    return this.values.subarray(0, length);
  }
}

const sizeOf = (shape) => shape.reduce((a, b) => a * b, 1);

/** What layers have in common: the sizes of one example, and room for what they return. */
class Layer {
  constructor(shape, outputShape) {
    [this.inputShape, this.outputShape] = [shape, outputShape];
    [this.inputs, this.outputs] = [sizeOf(shape), sizeOf(outputShape)];
    [this.y, this.slopes] = [new Room(Float32Array), new Room(Float32Array)];
    this.parameters = [];
  }

  /** With a weight and a bias, not yet drawn. */
  addParameters(weightShape) {
    const [units, ...each] = weightShape;
    this.fanIn = sizeOf(each);
    this.weight = new Float32Array(units * this.fanIn);
    this.bias = new Float32Array(units);
    this.parameters = [this.weight, this.bias];
  }

  /** The gradient of the input alone. */
  gradientOfInput(g, count) {
    return this.backward(g, count, true);
  }
}

/**
 * Sums of products of a kernel with all that it meets, for each output channel. `taps`: where the
 * values that a kernel meets lie, from the first one on. Several taps a pass, each pass along a row;
 * or along all rows at once, where they lie so that nothing is in between.
 */
function correlate(input, taps, weights, sums, channels, size, walk) {
  const { rows, columns, down, step, pitch } = walk;
  const numTaps = taps.length;
  sums.fill(0);
  for (let channel = 0; channel < channels; channel++) {
    let tap = 0;
    for (; tap + 4 <= numTaps; tap += 4) {
      const place = channel * numTaps + tap;
      const [w0, w1, w2, w3] = [
        weights[place], weights[place + 1], weights[place + 2], weights[place + 3],
      ];
      const [a, b, c, d] = [taps[tap], taps[tap + 1], taps[tap + 2], taps[tap + 3]];
      for (let row = 0; row < rows; row++) {
        let from = row * down;
        let to = channel * size + row * pitch;
        for (const end = to + columns; to < end; to++, from += step) {
          sums[to] +=
            w0 * input[from + a] + w1 * input[from + b] + w2 * input[from + c] + w3 * input[from + d];
        }
      }
    }
    for (; tap < numTaps; tap++) {
      const w = weights[channel * numTaps + tap];
      for (let row = 0; row < rows; row++) {
        let from = row * down + taps[tap];
        let to = channel * size + row * pitch;
        for (const end = to + columns; to < end; to++, from += step) sums[to] += w * input[from];
      }
    }
  }
}

/** For each output channel and tap, adds up the products of gradients with what the tap meets. */
function addProducts(grads, input, taps, totals, channels, size, walk) {
  const { rows, columns, down, step, pitch } = walk;
  const numTaps = taps.length;
  for (let channel = 0; channel < channels; channel++) {
    let tap = 0;
    for (; tap + 4 <= numTaps; tap += 4) {
      const [a, b, c, d] = [taps[tap], taps[tap + 1], taps[tap + 2], taps[tap + 3]];
      let [s0, s1, s2, s3] = [0, 0, 0, 0];
      for (let row = 0; row < rows; row++) {
        let from = row * down;
        let at = channel * size + row * pitch;
        for (const end = at + columns; at < end; at++, from += step) {
          const g = grads[at];
          s0 += g * input[from + a];
          s1 += g * input[from + b];
          s2 += g * input[from + c];
          s3 += g * input[from + d];
        }
      }
      const place = channel * numTaps + tap;
      totals[place] += s0;
      totals[place + 1] += s1;
      totals[place + 2] += s2;
      totals[place + 3] += s3;
    }
    for (; tap < numTaps; tap++) {
      let sum = 0;
      for (let row = 0; row < rows; row++) {
        let from = row * down + taps[tap];
        let at = channel * size + row * pitch;
        for (const end = at + columns; at < end; at++, from += step) sum += grads[at] * input[from];
      }
      totals[channel * numTaps + tap] += sum;
    }
  }
}

/** Where the values lie that a kernel meets in maps of `height` × `width`. */
function tapsOf(channels, kernel, height, width) {
  const taps = [];
  for (let i = 0; i < channels; i++) {
    for (let v = 0; v < kernel; v++) {
      for (let u = 0; u < kernel; u++) taps.push((i * height + v) * width + u);
    }
  }
  return Int32Array.from(taps);
}

/** How to walk over maps of that width, `rows` × `columns` places, one every `stride`. Maps of sums
 * have the rows' distance of the input, so that with a stride of 1 all rows are one. */
function walkOver(width, rows, columns, stride) {
  if (stride === 1) return { rows: 1, columns: (rows - 1) * width + columns, down: 0, step: 1, pitch: 0 };
  return { rows, columns, down: stride * width, step: stride, pitch: width };
}

class Conv extends Layer {
  constructor({ channels, kernel, padding, stride }, shape) {
    const [inputs, height, width] = shape;
    const side = (length) => Math.floor((length + 2 * padding - kernel) / stride) + 1;
    const [rows, columns] = [side(height), side(width)];
    super(shape, [channels, rows, columns]);
    this.addParameters([channels, inputs, kernel, kernel]);
    Object.assign(this, { channels, kernel, padding, stride });
    [this.height, this.width] = [height + 2 * padding, width + 2 * padding];
    this.taps = tapsOf(inputs, kernel, this.height, this.width);
    this.walk = walkOver(this.width, rows, columns, stride);
    this.padded = new Float64Array(inputs * this.height * this.width);
    this.size = rows * this.width; // of a map of sums
    this.sums = new Float64Array(channels * this.size);
  }

  /** An example's integers, with zeros around. */
  pad(x, example, unit) {
    const [channels, height, width] = this.inputShape;
    const { padding } = this;
    for (let row = 0; row < channels * height; row++) {
      const from = example * this.inputs + row * width;
      const above = Math.floor(row / height) * this.height + (row % height) + padding;
      toIntegers(x, from, from + width, unit, this.padded, above * this.width + padding);
    }
  }

  forward(x, count) {
    const bits = productBits(this.fanIn);
    const [weights, weightUnit] = integersOf(this.weight, bits);
    const [channels, rows, columns] = this.outputShape;
    const y = this.y.take(count * this.outputs);
    this.x = x;
    let place = 0;
    for (let n = 0; n < count; n++) {
      const unit = unitOf(x, n * this.inputs, (n + 1) * this.inputs, bits);
      this.pad(x, n, unit);
      correlate(this.padded, this.taps, weights, this.sums, channels, this.size, this.walk);
      for (let channel = 0; channel < channels; channel++) {
        for (let row = 0; row < rows; row++) {
          let from = channel * this.size + row * this.width;
          for (const end = from + columns; from < end; from++) {
            y[place++] = this.sums[from] * (unit * weightUnit) + this.bias[channel];
          }
        }
      }
    }
    return y;
  }

  backward(g, count, isWanted) {
    const [channels, rows, columns] = this.outputShape;
    const places = rows * columns;
    const bits = productBits(count * places);
    const gradUnit = unitOf(g, 0, g.length, bits);
    const unit = unitOf(this.x, 0, count * this.inputs, bits);
    const totals = new Float64Array(this.weight.length);
    const grads = new Float64Array(channels * this.size); // what lies between rows stays zero
    for (let n = 0; n < count; n++) {
      for (let row = 0; row < channels * rows; row++) {
        const from = n * this.outputs + row * columns;
        toIntegers(g, from, from + columns, gradUnit, grads, row * this.width);
      }
      this.pad(this.x, n, unit);
      addProducts(grads, this.padded, this.taps, totals, channels, this.size, this.walk);
    }
    this.gradients = [
      Float32Array.from(totals, (total) => total * (gradUnit * unit)),
      Float32Array.from(
        exactSums(g, channels, count * places, (i) => Math.floor(i / places) % channels),
      ),
    ];
    return isWanted ? this.gradientOfInput(g, count) : null;
  }

  /**
   * A convolution of the gradients with the kernels turned round: they lie `stride` apart, with
   * zeros in between and around, so that it gives the padded input's.
   */
  gradientOfInput(g, count) {
    const { kernel, stride, padding, height, width } = this;
    const [channels, rows, columns] = this.outputShape;
    const [inputs, inner, across] = this.inputShape;
    const bits = productBits(channels * kernel * kernel);
    const [weights, unit] = integersOf(this.weight, bits);
    const turned = new Float64Array(weights.length);
    const size = kernel * kernel;
    for (let o = 0; o < channels; o++) {
      for (let i = 0; i < inputs; i++) {
        for (let k = 0; k < size; k++) {
          turned[(i * channels + o) * size + k] = weights[(o * inputs + i + 1) * size - 1 - k];
        }
      }
    }
    const [spreadHeight, spreadWidth] = [height + kernel - 1, width + kernel - 1];
    const spread = new Float64Array(channels * spreadHeight * spreadWidth);
    const taps = tapsOf(channels, kernel, spreadHeight, spreadWidth);
    const walk = walkOver(spreadWidth, height, width, 1);
    const sums = new Float64Array(inputs * height * spreadWidth);
    const gradUnit = unitOf(g, 0, g.length, bits);
    const slopes = this.slopes.take(count * this.inputs);
    let place = 0;
    for (let n = 0; n < count; n++) {
      let from = n * this.outputs;
      for (let o = 0; o < channels; o++) {
        for (let row = 0; row < rows; row++) {
          const below = o * spreadHeight + row * stride + kernel - 1;
          for (let column = 0; column < columns; column++) {
            const to = below * spreadWidth + column * stride + kernel - 1;
            spread[to] = rint(g[from++] * (1 / gradUnit));
          }
        }
      }
      correlate(spread, taps, turned, sums, inputs, height * spreadWidth, walk);
      for (let i = 0; i < inputs; i++) {
        for (let row = 0; row < inner; row++) {
          const at = (i * height + row + padding) * spreadWidth + padding;
          for (let x = 0; x < across; x++) slopes[place++] = sums[at + x] * (gradUnit * unit);
        }
      }
    }
    return slopes;
  }
}

/** Sums of products of what is not zero with its rows of a matrix, in `columns` columns. `found`:
 * room for the places of what is not zero. */
function addRows(values, found, matrix, columns, sums) {
  let count = 0;
  for (let i = 0; i < values.length; i++) if (values[i] !== 0) found[count++] = i;
  let k = 0;
  for (; k + 4 <= count; k += 4) {
    const [a, b, c, d] = [found[k], found[k + 1], found[k + 2], found[k + 3]];
    const [v0, v1, v2, v3] = [values[a], values[b], values[c], values[d]];
    const [p, q, r, s] = [a * columns, b * columns, c * columns, d * columns];
    for (let j = 0; j < columns; j++) {
      sums[j] += v0 * matrix[p + j] + v1 * matrix[q + j] + v2 * matrix[r + j] + v3 * matrix[s + j];
    }
  }
  for (; k < count; k++) {
    const [v, p] = [values[found[k]], found[k] * columns];
    for (let j = 0; j < columns; j++) sums[j] += v * matrix[p + j];
  }
}

function transposed(matrix, rows, columns) {
  const found = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      found[column * rows + row] = matrix[row * columns + column];
    }
  }
  return found;
}

class Linear extends Layer {
  constructor({ units }, shape) {
    super(shape, [units]);
    this.addParameters([units, this.inputs]);
    this.row = new Float64Array(this.inputs);
    this.sums = new Float64Array(units);
    this.places = new Int32Array(Math.max(this.inputs, units));
  }

  forward(x, count) {
    const { inputs, outputs, row, sums } = this;
    const bits = productBits(inputs);
    const [weights, weightUnit] = integersOf(this.weight, bits);
    const columns = transposed(weights, outputs, inputs);
    const y = this.y.take(count * outputs);
    this.x = x;
    for (let n = 0; n < count; n++) {
      const unit = unitOf(x, n * inputs, (n + 1) * inputs, bits);
      toIntegers(x, n * inputs, (n + 1) * inputs, unit, row, 0);
      sums.fill(0);
      addRows(row, this.places, columns, outputs, sums);
      for (let o = 0; o < outputs; o++) {
        y[n * outputs + o] = sums[o] * (unit * weightUnit) + this.bias[o];
      }
    }
    return y;
  }

  backward(g, count, isWanted) {
    const { inputs, outputs, x } = this;
    const bits = productBits(count);
    const [grads, gradUnit] = integersOf(g, bits);
    const unit = unitOf(x, 0, count * inputs, bits);
    const totals = new Float64Array(inputs * outputs); // inputs × outputs
    for (let n = 0; n < count; n++) {
      toIntegers(x, n * inputs, (n + 1) * inputs, unit, this.row, 0);
      for (let i = 0; i < inputs; i++) {
        const value = this.row[i];
        if (value === 0) continue;
        for (let o = 0; o < outputs; o++) totals[i * outputs + o] += value * grads[n * outputs + o];
      }
    }
    this.gradients = [
      Float32Array.from(transposed(totals, inputs, outputs), (total) => total * (gradUnit * unit)),
      Float32Array.from(exactSums(g, outputs, count, (i) => i % outputs)),
    ];
    return isWanted ? this.gradientOfInput(g, count) : null;
  }

  gradientOfInput(g, count) {
    const { inputs, outputs } = this;
    const bits = productBits(outputs);
    const [weights, unit] = integersOf(this.weight, bits);
    const [grads, gradUnit] = integersOf(g, bits);
    const slopes = this.slopes.take(count * inputs);
    const sums = new Float64Array(inputs);
    for (let n = 0; n < count; n++) {
      sums.fill(0);
      const row = grads.subarray(n * outputs, (n + 1) * outputs);
      addRows(row, this.places, weights, inputs, sums);
      for (let i = 0; i < inputs; i++) slopes[n * inputs + i] = sums[i] * (gradUnit * unit);
    }
    return slopes;
  }
}

/** Takes window × window blocks; rows and columns that fill no block are dropped. */
class Pool extends Layer {
  constructor({ window }, [channels, height, width]) {
    const [rows, columns] = [Math.floor(height / window), Math.floor(width / window)];
    super([channels, height, width], [channels, rows, columns]);
    this.window = window;
    const corner = (m, r, c) => (m * height + r * window) * width + c * window;
    this.corners = Int32Array.from({ length: this.outputs }, (_, i) =>
      corner(Math.floor(i / (rows * columns)), Math.floor(i / columns) % rows, i % columns),
    );
    this.block = tapsOf(1, window, height, width); // in reading order
  }
}

class MaxPool extends Pool {
  constructor(layer, shape) {
    super(layer, shape);
    this.largest = new Room(Int32Array); // where each was found
  }

  forward(x, count) {
    const { block, corners, inputs, outputs } = this;
    const y = this.y.take(count * outputs);
    const largest = this.largest.take(count * outputs);
    for (let n = 0, place = 0; n < count; n++) {
      for (let i = 0; i < outputs; i++, place++) {
        const corner = n * inputs + corners[i];
        let found = corner;
        for (let k = 1; k < block.length; k++) {
          const value = x[corner + block[k]];
          if (value > x[found] || Number.isNaN(value)) found = corner + block[k];
        }
        largest[place] = found;
        y[place] = x[found];
      }
    }
    return y;
  }

  backward(g, count) {
    const slopes = this.slopes.take(count * this.inputs).fill(0);
    const { values } = this.largest;
    for (let i = 0; i < g.length; i++) slopes[values[i]] = g[i];
    return slopes;
  }
}

class AvgPool extends Pool {
  forward(x, count) {
    const { block, corners, inputs, outputs } = this;
    const y = this.y.take(count * outputs);
    for (let n = 0, place = 0; n < count; n++) {
      for (let i = 0; i < outputs; i++) {
        let total = 0;
        for (let k = 0; k < block.length; k++) total += x[n * inputs + corners[i] + block[k]];
        y[place++] = total / block.length;
      }
    }
    return y;
  }

  backward(g, count) {
    const { block, corners, inputs, outputs } = this;
    const slopes = this.slopes.take(count * inputs).fill(0);
    for (let n = 0, place = 0; n < count; n++) {
      for (let i = 0; i < outputs; i++) {
        const share = g[place++] / block.length;
        for (let k = 0; k < block.length; k++) slopes[n * inputs + corners[i] + block[k]] = share;
      }
    }
    return slopes;
  }
}

class ReLU extends Layer {
  constructor(layer, shape) {
    super(shape, shape);
  }

  forward(x) {
    const y = this.y.take(x.length);
    for (let i = 0; i < x.length; i++) y[i] = x[i] < 0 ? 0 : x[i]; // nan stays
    this.x = x;
    return y;
  }

  backward(g) {
    const slopes = this.slopes.take(g.length);
    for (let i = 0; i < g.length; i++) slopes[i] = this.x[i] > 0 ? g[i] : 0;
    return slopes;
  }
}

class Tanh extends Layer {
  constructor(layer, shape) {
    super(shape, shape);
  }

  forward(x) {
    const y = this.y.take(x.length);
    for (let i = 0; i < x.length; i++) y[i] = tanh(x[i]);
    return y;
  }

  backward(g) {
    const slopes = this.slopes.take(g.length);
    const y = this.y.values;
    const { fround } = Math;
    for (let i = 0; i < g.length; i++) slopes[i] = g[i] * fround(1 - fround(y[i] * y[i]));
    return slopes;
  }
}

/** Acts only in training; then it draws on `words`. */
class Dropout extends Layer {
  constructor({ p }, shape, words) {
    super(shape, shape);
    Object.assign(this, { p, words });
  }

  forward(x, count, isTraining) {
    this.keep = isTraining ? keeps(this.words, x.length, this.p) : null;
    return this.keep ? this.kept(x, this.y.take(x.length)) : x;
  }

  backward(g) {
    return this.keep ? this.kept(g, this.slopes.take(g.length)) : g;
  }

  kept(values, found) {
    for (let i = 0; i < values.length; i++) found[i] = this.keep[i] ? values[i] / (1 - this.p) : 0;
    return found;
  }
}

const KINDS = {
  conv: Conv,
  max_pool: MaxPool,
  avg_pool: AvgPool,
  relu: ReLU,
  tanh: Tanh,
  dropout: Dropout,
  linear: Linear,
};

// ---- Models.

class Model {
  /** Layers as params.yaml has them, in a list, for inputs of that shape; weights by the seed. */
  constructor(layers, shape, seed = 0) {
    const words = new Words(seed, WEIGHTS);
    const dropout = new Words(seed, DROPOUT);
    this.layers = layers.map((about) => {
      const layer = new KINDS[about.kind](about, shape, dropout);
      for (const parameter of layer.parameters) {
        parameter.set(initialWeights(words, parameter.length, layer.fanIn));
      }
      shape = layer.outputShape;
      return layer;
    });
    this.first = this.layers.findIndex((layer) => layer.parameters.length > 0);
  }

  /** Layer by layer, weight before bias. */
  get parameters() {
    return this.layers.flatMap((layer) => layer.parameters);
  }

  /** The logits of `count` examples; and if wanted, what each layer sees, into `seen`. */
  forward(x, count, isTraining = false, seen = []) {
    for (const layer of this.layers) {
      seen.push(x);
      x = layer.forward(x, count, isTraining);
    }
    return x;
  }

  /** The gradients of all parameters, after `forward`, by that of the logits. */
  backward(g, count) {
    for (let place = this.layers.length - 1; place >= this.first; place--) {
      g = this.layers[place].backward(g, count, place > this.first);
    }
    return this.layers.flatMap((layer) => (layer.parameters.length > 0 ? layer.gradients : []));
  }

  /** The gradient of the input, after `forward`, by that of the logits. */
  gradientOfInput(g, count) {
    return this.layers.reduceRight((grad, layer) => layer.gradientOfInput(grad, count), g);
  }

  /** The SHA-256 of all weights: float32, little-endian, layer by layer, weight before bias. */
  digest() {
    const parts = this.parameters.map((each) => new Uint8Array(each.buffer));
    const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let place = 0;
    for (const part of parts) {
      all.set(part, place);
      place += part.length;
    }
    return sha256(all);
  }
}

/** The probabilities of one example's logits, and the logarithm of the sum of e^logit. */
function softmax(logits) {
  const top = logits.reduce((a, b) => Math.max(a, b));
  const powers = Float64Array.from(logits, (logit) => exp(logit - top));
  const total = powers.reduce((sum, each) => sum + each, 0);
  return { probabilities: powers.map((each) => each / total), logSum: log(total) + top };
}

/** The mean cross-entropy of some examples' logits, and its gradient. */
function crossEntropy(logits, labels) {
  const count = labels.length;
  const size = logits.length / count;
  const losses = new Float64Array(count);
  const gradient = new Float32Array(logits.length);
  for (let n = 0; n < count; n++) {
    const { probabilities, logSum } = softmax(logits.subarray(n * size, (n + 1) * size));
    losses[n] = logSum - logits[n * size + labels[n]];
    for (let j = 0; j < size; j++) {
      gradient[n * size + j] = (probabilities[j] - (j === labels[n] ? 1 : 0)) / count;
    }
  }
  return { loss: Math.fround(exactMean(losses)), gradient };
}

/** The first of the largest. */
function best(values) {
  let found = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[found]) found = i;
  return found;
}

// ---- Which pixels speak for an answer: stages/core/interpretation/attribution.py says how, and what
// for. The baseline is black, which is zero.

const HIDDEN = 64; // images with something hidden that are answered at a time

/** The label to explain, the model's answer unless one is wanted, and its rival: the likeliest of
 * the others, unless another one is wanted. */
function pairOf(logits, answer = null, rival = null) {
  const explained = answer ?? best(logits);
  if (rival !== null && rival !== explained) return [explained, rival];
  return [explained, best(logits.map((logit, label) => (label === explained ? -Infinity : logit)))];
}

const lead = (logits, [answer, rival]) => logits[answer] - logits[rival];

/** For each pixel x of one image, x times the gradient of the lead. */
function gradientTimesInput(model, x, pair) {
  const direction = new Float32Array(model.forward(x, 1).length);
  [direction[pair[0]], direction[pair[1]]] = [1, -1];
  const slopes = model.gradientOfInput(direction, 1);
  return x.map((value, i) => value * slopes[i]);
}

/** The start and end of each window in one direction. */
function spans(extent, window, stride) {
  const margin = Math.floor((window - stride) / 2);
  return Array.from({ length: Math.ceil(extent / stride) }, (_, i) => [
    Math.max(i * stride - margin, 0),
    Math.min(i * stride - margin + window, extent),
  ]);
}

/** By how much the lead falls when a window of one image, height × width, is hidden: a number for
 * each stride × stride pixels. */
function occlusion(model, x, [height, width], pair, window, stride) {
  const size = height * width;
  const [rows, columns] = [height, width].map((extent) => spans(extent, window, stride));
  const values = new Float32Array(rows.length * columns.length);
  const before = lead(model.forward(x, 1), pair);
  const images = new Float32Array(HIDDEN * size);
  let places = [];
  const measure = () => {
    const logits = model.forward(images.subarray(0, places.length * size), places.length);
    const units = logits.length / places.length;
    places.forEach((place, n) => {
      values[place] = before - lead(logits.subarray(n * units, (n + 1) * units), pair);
    });
    places = [];
  };
  rows.forEach(([top, bottom], row) => {
    columns.forEach(([left, right], column) => {
      const image = images.subarray(places.length * size, (places.length + 1) * size);
      image.set(x);
      let isSame = true;
      for (let y = top; y < bottom; y++) {
        isSame &&= x.subarray(y * width + left, y * width + right).every((value) => value === 0);
        image.fill(0, y * width + left, y * width + right);
      }
      if (!isSame) places.push(row * columns.length + column);
      if (places.length === HIDDEN) measure();
    });
  });
  if (places.length) measure();
  return { height: rows.length, width: columns.length, values };
}

/** Why a model gives one image that answer, or null for its own, rather than the rival, or null for
 * the closest; and what gradient × input adds up to. */
function attribution(model, x, [height, width], answer, rival, window, stride) {
  const logits = model.forward(x, 1).slice();
  const pair = pairOf(logits, answer, rival);
  const values = gradientTimesInput(model, x, pair);
  return {
    pair,
    lead: lead(logits, pair),
    sum: exactSums(values, 1, values.length, () => 0)[0],
    products: { height, width, values },
    hidden: occlusion(model, x, [height, width], pair, window, stride),
  };
}

/**
 * In a worker: explain what models answer. The first message has the models: by their names, the
 * `layers` and the `parameters`; and the `shape` of an image, the `window` and the `stride`. Each
 * later one has the `pixels` of an image, 0 to 255, and the `answer` and `rival` that are wanted, or
 * null.
 */
function attribute() {
  let models;
  let about;
  addEventListener("message", ({ data: message }) => {
    if (message.models) {
      about = message;
      models = Object.entries(message.models).map(([name, { layers, parameters }]) => {
        const model = new Model(layers, message.shape);
        model.parameters.forEach((parameter, i) => parameter.set(parameters[i]));
        return [name, model];
      });
      return;
    }
    const { pixels, answer, rival } = message;
    const { shape, window, stride } = about;
    const x = Float32Array.from(pixels, (pixel) => PIXELS[pixel]);
    const found = models.map(([name, model]) => [
      name,
      attribution(model, x, shape.slice(1), answer, rival, window, stride),
    ]);
    postMessage({ pixels, found });
  });
}

// ---- Optimizers.

const [BETA1, BETA2, EPS] = [0.9, 0.999, 1e-8];

class SGD {
  constructor(parameters, { learning_rate, weight_decay, momentum }) {
    Object.assign(this, { parameters, rate: learning_rate, decay: weight_decay, momentum });
    this.velocities = parameters.map((parameter) => new Float64Array(parameter.length));
  }

  update(gradients) {
    const { rate, decay, momentum } = this;
    this.parameters.forEach((weight, place) => {
      const [gradient, v] = [gradients[place], this.velocities[place]];
      for (let i = 0; i < weight.length; i++) {
        v[i] = momentum * v[i] + (gradient[i] + decay * weight[i]);
        weight[i] -= rate * v[i];
      }
    });
  }
}

class Adam {
  constructor(parameters, { learning_rate, weight_decay }) {
    Object.assign(this, { parameters, rate: learning_rate, decay: weight_decay });
    const zeros = () => parameters.map((parameter) => new Float64Array(parameter.length));
    [this.means, this.squares] = [zeros(), zeros()];
    [this.power1, this.power2] = [1, 1];
  }

  update(gradients) {
    this.power1 *= BETA1;
    this.power2 *= BETA2;
    const [step, unbiased] = [this.rate / (1 - this.power1), 1 / (1 - this.power2)];
    this.parameters.forEach((weight, place) => {
      const [gradient, m, v] = [gradients[place], this.means[place], this.squares[place]];
      for (let i = 0; i < weight.length; i++) {
        const g = gradient[i] + this.decay * weight[i];
        m[i] = BETA1 * m[i] + (1 - BETA1) * g;
        v[i] = BETA2 * v[i] + (1 - BETA2) * (g * g);
        weight[i] -= (step * m[i]) / (Math.sqrt(v[i] * unbiased) + EPS);
      }
    });
  }
}

const OPTIMIZERS = { adam: Adam, sgd: SGD };

// ---- Training.

const PIXELS = Float32Array.from({ length: 256 }, (_, byte) => byte / 255);
const CHUNK = 250; // examples that are answered at a time

/** A model that learns digits: `images`, bytes one after another, and their `labels`. */
class Training {
  /** `settings`: a section of params.yaml, with its layers in a list; the shape of a digit. */
  constructor(settings, shape, images, labels) {
    Object.assign(this, { settings, images, labels, iteration: 0 });
    this.size = sizeOf(shape);
    this.model = new Model(settings.layers, shape, settings.seed);
    this.optimizer = new OPTIMIZERS[settings.optimizer.kind](
      this.model.parameters,
      settings.optimizer,
    );
    this.words = new Words(settings.seed, ORDER);
    this.perEpoch = Math.floor(labels.length / settings.batch_size);
    this.last = this.perEpoch * settings.epochs;
    this.x = new Room(Float32Array);
  }

  /** One update, on the next batch. Returns the loss before it. */
  step() {
    const { batch_size: count } = this.settings;
    const start = this.iteration % this.perEpoch;
    if (start === 0) this.order = shuffled(this.words, this.labels.length);
    const batch = this.order.subarray(start * count, (start + 1) * count);
    const x = this.x.take(count * this.size);
    batch.forEach((digit, n) => fill(x, n, this.images, digit, this.size));
    const logits = this.model.forward(x, count, true);
    const { loss, gradient } = crossEntropy(logits, Array.from(batch, (i) => this.labels[i]));
    this.optimizer.update(this.model.backward(gradient, count));
    this.iteration += 1;
    return loss;
  }

  /** The share of some digits whose answer is the label. */
  accuracy(images, labels) {
    let right = 0;
    for (let start = 0; start < labels.length; start += CHUNK) {
      const count = Math.min(CHUNK, labels.length - start);
      const logits = this.answer(images, start, count);
      const size = logits.length / count;
      for (let n = 0; n < count; n++) {
        const answer = best(logits.subarray(n * size, (n + 1) * size));
        right += answer === labels[start + n] ? 1 : 0;
      }
    }
    return right / labels.length;
  }

  /** The logits of `count` digits from `start` on. */
  answer(images, start, count) {
    const x = this.x.take(count * this.size);
    for (let n = 0; n < count; n++) fill(x, n, images, start + n, this.size);
    return this.model.forward(x, count);
  }

  get isFinite() {
    return this.model.parameters.every((parameter) => parameter.every(Number.isFinite));
  }
}

/** The pixels of a digit as the n-th example. */
function fill(x, n, images, digit, size) {
  for (let i = 0; i < size; i++) x[n * size + i] = PIXELS[images[digit * size + i]];
}

// ---- In a worker.

const MEASURED = 30; // points of a learning curve: measuring takes longer than learning

/** The iterations to measure at: of those where the pipeline's curve has points, evenly spaced. */
function measuredAt(last, every) {
  const points = Math.ceil(last / every);
  const steps = Math.min(MEASURED, points) - 1;
  const place = (step) => points - (steps && Math.floor(((points - 1) * step) / steps));
  const all = Array.from({ length: steps + 1 }, (_, step) => Math.min(place(step) * every, last));
  return new Set(all);
}

/**
 * Train one model, as the page says in its first message: the settings, the shape of a digit, the
 * digits `train`, `val` and `test`, each with its `images` and `labels`, and of how many of the
 * first weights to tell. Tells of every iteration, and of the end. Later messages say whether it
 * `isRunning`, or stands still.
 */
function serve() {
  let isRunning = true;
  let goOn = () => {};
  const { port1, port2 } = new MessageChannel();
  /** Let messages in; while it stands still, wait for the one that it goes on. */
  async function turn() {
    await new Promise((resolve) => {
      port1.onmessage = resolve;
      port2.postMessage(null);
    });
    while (!isRunning) {
      await new Promise((resolve) => {
        goOn = resolve;
      });
    }
  }

  async function run({ settings, shape, train, val, test, shown }) {
    const training = new Training(settings, shape, train.images, train.labels);
    const { last, model } = training;
    const measured = measuredAt(last, settings.eval_every);
    while (training.iteration < last) {
      const loss = training.step();
      const { iteration } = training;
      if (!Number.isFinite(loss)) {
        return postMessage({ diverges: { loss, iteration } });
      }
      const found = { iteration, last, loss };
      if (measured.has(iteration)) {
        found.train = training.accuracy(train.images, train.labels);
        found.val = training.accuracy(val.images, val.labels);
        found.weights = model.layers[model.first].weight.slice(0, shown);
      }
      postMessage(found);
      await turn();
    }
    const logits = training.answer(test.images, 0, test.labels.length).slice();
    const { loss } = crossEntropy(logits, test.labels);
    if (!training.isFinite) return postMessage({ diverges: {} });
    if (!Number.isFinite(loss)) return postMessage({ diverges: { loss } });
    const right = training.accuracy(test.images, test.labels);
    return postMessage({ digest: model.digest(), test: right });
  }

  addEventListener("message", ({ data: message }) => {
    if (message.settings) run(message);
    isRunning = message.isRunning;
    if (isRunning) goOn();
  });
}

// ---- SHA-256 (FIPS 180-4). Browsers have one too, but not on every page.

/** The first 32 bits of the fraction of a root of each of the first primes. */
function rootsOfPrimes(count, root) {
  const primes = [];
  for (let n = 2; primes.length < count; n++) {
    if (primes.every((prime) => n % prime)) primes.push(n);
  }
  return Uint32Array.from(primes, (prime) => (root(prime) % 1) * 2 ** 32);
}

function sha256(bytes) {
  const k = rootsOfPrimes(64, Math.cbrt);
  const hash = rootsOfPrimes(8, Math.sqrt);
  const padded = new Uint8Array(Math.ceil((bytes.length + 9) / 64) * 64);
  padded.set(bytes);
  padded[bytes.length] = 128;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, bytes.length / 2 ** 29);
  view.setUint32(padded.length - 4, bytes.length * 8);
  const w = new Uint32Array(64);
  const turn = (x, n) => (x >>> n) | (x << (32 - n));
  for (let start = 0; start < padded.length; start += 64) {
    for (let i = 0; i < 64; i++) {
      if (i < 16) {
        w[i] = view.getUint32(start + 4 * i);
      } else {
        const [x, y] = [w[i - 15], w[i - 2]];
        const s0 = turn(x, 7) ^ turn(x, 18) ^ (x >>> 3);
        const s1 = turn(y, 17) ^ turn(y, 19) ^ (y >>> 10);
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
      }
    }
    let [a, b, c, d, e, f, g, h] = hash;
    for (let i = 0; i < 64; i++) {
      const s1 = turn(e, 6) ^ turn(e, 11) ^ turn(e, 25);
      const t1 = (h + s1 + ((e & f) ^ (~e & g)) + k[i] + w[i]) | 0;
      const s0 = turn(a, 2) ^ turn(a, 13) ^ turn(a, 22);
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + t1) | 0, c, b, a, (t1 + t2) | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((value, i) => {
      hash[i] += value;
    });
  }
  return Array.from(hash, (word) => word.toString(16).padStart(8, "0")).join("");
}
