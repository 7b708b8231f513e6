// What would excite a model most: its ideal images as tiles, which go on the drawing area.

/** The tiles of a picture in which they stand in rows, a pixel apart: their pixels, 0 to 255. */
function cutOut(image, side, count) {
  const canvas = element("canvas", { width: image.naturalWidth, height: image.naturalHeight });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const columns = Math.round((image.naturalWidth + 1) / (side + 1));
  return Array.from({ length: count }, (_, i) => {
    const [x, y] = [(i % columns) * (side + 1), Math.floor(i / columns) * (side + 1)];
    const { data: colours } = context.getImageData(x, y, side, side);
    return Uint8Array.from({ length: side * side }, (__, pixel) => colours[4 * pixel]);
  });
}

/** Turn a figure's picture into tiles. The pixels of each. */
async function showIdeals(figure) {
  const { model, way } = figure.dataset;
  const image = figure.querySelector("img");
  await image.decode();
  const items = [...figure.querySelectorAll("li")];
  const tiles = cutOut(image, SIDE, items.length);
  items.forEach((item, i) => {
    const name = `${way === "ideal" ? "ideal" : "noise for"} ${labels[i]}`;
    const canvas = element("canvas");
    paint(canvas, tiles[i], SIDE, SIDE, 255, grey);
    const link = element("a", { href: "#draw" }, canvas);
    link.setAttribute("aria-label", `${titleOf(model)}, ${name}: put it in the drawing area`);
    link.addEventListener("click", () => take(tiles[i], `${titleOf(model)}, ${name}`));
    item.prepend(link);
  });
  image.hidden = true;
  figure.querySelector("ul").hidden = false;
  return tiles;
}

/** How many of a model's ideal images the models of the page recognise: a row of the table. */
function addAgreement({ dataset: { model, way } }, tiles) {
  const counts = LIVE.map((by) => {
    const right = tiles.filter((tile, label) => best(forward(by, tile).logits) === label);
    return element("td", { className: "number", textContent: right.length });
  });
  const title = element("th", { scope: "row", textContent: titleOf(model) });
  const habits = element("td", { textContent: way === "ideal" ? "jitter, blur, decay" : "nothing" });
  document.querySelector("#agreement tbody").append(element("tr", {}, title, habits, ...counts));
}

(async () => {
  for (const figure of document.querySelectorAll(".ideals")) {
    const tiles = await showIdeals(figure);
    if ($("agreement")) addAgreement(figure, tiles);
  }
  if ($("agreement")) $("agreement").hidden = false;
})();
