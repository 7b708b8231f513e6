const GAP = 1; // between tiles

/** Tiles N × height × width next to one another, in about as many rows as columns. */
function paintGrid(canvas, { shape, values }, largest) {
  const [count, height, width] = shape;
  const columns = Math.ceil(Math.sqrt(count));
  const rows = Math.ceil(count / columns);
  canvas.width = columns * (width + GAP) - GAP;
  canvas.height = rows * (height + GAP) - GAP;
  const small = element("canvas");
  for (let tile = 0; tile < count; tile++) {
    const start = tile * height * width;
    const pixels = values.subarray(start, start + height * width);
    paint(small, pixels, height, width, largest, diverging);
    const [row, column] = [Math.floor(tile / columns), tile % columns];
    canvas.getContext("2d").drawImage(small, column * (width + GAP), row * (height + GAP));
  }
}

for (const place of document.querySelectorAll("[data-grid]")) {
  const grid = data.grids[place.dataset.grid];
  grid.tiles.forEach((tiles, which) => {
    if (tiles === null) return;
    const what = which === 2 ? "difference" : data.names[which];
    const canvas = pictured(`${grid.name} of ${grid.file}, ${what}`);
    canvas.className = "weights crisp";
    const largest = which === 2 ? grid.largest_difference : grid.largest;
    const weights = unpack(tiles, Float32Array);
    paintGrid(canvas, weights, largest);
    const scale = element("div", { className: "scale" });
    drawScale(scale, largest, diverging, "");
    const shape = grid.shapes[which === 2 ? 0 : which];
    const all = shape.length === 4 ? shape[0] * shape[1] : shape[0];
    const [shown] = weights.shape;
    const some = shown > 1 && shown < all ? `, the first ${shown} of ${all}` : "";
    const caption = element("figcaption", {}, element("b", { textContent: what }));
    caption.append(`: ${shape.join(" × ")}${some}`);
    place.append(element("figure", {}, canvas, scale, caption));
  });
}
