"use strict";

const data = JSON.parse(document.getElementById("data").textContent);

const IMAGE = data.one === "digit" ? "digit" : "image"; // what the page calls one to learn from

const MOST = 64; // hidden units, or feature maps, of a layer that are shown

/** An element of the page by its id. */
const $ = (id) => document.getElementById(id);

/** The elements of an array that Python packed, as a typed array of that type, and its shape. */
function unpack(packed, Type) {
  const bytes = Uint8Array.from(atob(packed.elements), (letter) => letter.charCodeAt(0));
  return { shape: packed.shape, values: new Type(bytes.buffer) };
}

// ColorBrewer's RdBu, from its end, as the figures have it.
const STOPS = [
  [5, 48, 97], [33, 102, 172], [67, 147, 195], [146, 197, 222], [209, 229, 240], [247, 247, 247],
  [253, 219, 199], [244, 165, 130], [214, 96, 77], [178, 24, 43], [103, 0, 31],
];

/** Blue for -1, white for 0, red for 1: told apart by the colour-blind too. */
function diverging(share) {
  const place = Math.min(Math.max((share + 1) * 5, 0), 10);
  const left = Math.min(Math.floor(place), 9);
  return STOPS[left].map((from, i) => from + (place - left) * (STOPS[left + 1][i] - from));
}

/** Black for 0, white for 1. */
function grey(share) {
  const level = Math.min(Math.max(share, 0), 1) * 255;
  return [level, level, level];
}

/**
 * Draw values, a row after another, one pixel each: `colour` takes value / largest. NaN, the gap
 * between tiles, stays transparent.
 */
function paint(canvas, values, height, width, largest, colour) {
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    if (Number.isNaN(values[i])) continue;
    image.data.set([...colour(largest ? values[i] / largest : 0), 255], 4 * i);
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** A new element with those properties, and those inside of it. */
function element(name, properties = {}, ...inside) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...inside);
  return made;
}

/** A canvas that is a picture for those who do not see it too. */
function pictured(label) {
  const canvas = element("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  return canvas;
}

/** The colour scale of some maps, from -largest or from zero to largest, into an element. */
function drawScale(place, largest, colour, unit) {
  const from = colour === diverging ? -1 : 0;
  const canvas = element("canvas");
  canvas.setAttribute("aria-hidden", "true");
  const steps = Float32Array.from({ length: 129 }, (_, i) => from + (i / 128) * (1 - from));
  paint(canvas, steps, 1, 129, 1, colour);
  const to = `${from ? "+" : ""}${number(largest)} ${unit}`;
  place.replaceChildren(number(from * largest), canvas, to);
}

/** With a true minus sign, and as many places as it takes to tell small numbers apart. */
function number(value) {
  const size = Math.abs(value);
  const places = size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.095 || size === 0 ? 2 : 4;
  return value.toFixed(places).replace("-", "−");
}

/** Two places, with a true minus sign; what rounds to zero has none. */
function fixed(value) {
  const text = Math.abs(value).toFixed(2);
  return value < 0 && Number(text) ? `−${text}` : text;
}

/** Two places, and a sign in any case. */
function signed(value) {
  return (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);
}

/** With commas between thousands. */
const grouped = (count) => count.toLocaleString("en");

/** So many places of what is not negative, a half upwards by its decimal digits, as in tables. */
function rounded(value, places) {
  const scale = 10 ** places;
  return (Math.round(Number((value * scale).toPrecision(12))) / scale).toFixed(places);
}

const percent = (share) => `${rounded(share * 100, 1)}\u00a0%`;

const largestOf = (values) => values.reduce((a, value) => Math.max(a, Math.abs(value)), 0);

/** A list of tiles, a picture or a bar with two lines of text below each. */
function makeTiles(place, pictures) {
  const tiles = pictures.map((picture) => {
    const lines = [element("b"), element("span")];
    return { picture, lines, item: element("li", {}, picture, element("span", {}, ...lines)) };
  });
  place.replaceChildren(...tiles.map((tile) => tile.item));
  return tiles;
}
