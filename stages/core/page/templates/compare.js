for (const place of document.querySelectorAll("[data-grid]")) {
  const grid = data.grids[place.dataset.grid];
  grid.tiles.forEach((packed, which) => {
    if (packed === null) return;
    const what = which === 2 ? "difference" : data.names[which];
    const canvas = pictured(`${grid.name} in ${grid.file}, ${what}`);
    canvas.className = "weights crisp";
    const largest = which === 2 ? grid.largest_difference : grid.largest;
    const { shape, values } = unpack(packed, Float32Array);
    paint(canvas, values, ...shape, largest, diverging);
    const scale = element("div", { className: "scale" });
    drawScale(scale, largest, diverging, "");
    const caption = element("figcaption", {}, element("b", { textContent: what }));
    caption.append(`: ${grid.captions[which]}`);
    place.append(element("figure", {}, canvas, scale, caption));
  });
}
