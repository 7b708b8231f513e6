// Where images lie: points that show their images, and their nearest neighbours.

{
  const SPACES = ["pixels", "features"];
  const SVG = "http://www.w3.org/2000/svg";
  const REACH = 30; // from a point that is pointed at, in units of the picture, at most
  const SMALL = 14; // side of a small picture of a digit, pixels
  const MARK = 8; // between a line's end and the middle of a mark

  /** A set with its arrays unpacked. A neighbour that is not among the points is -1, like one that
   * there is not; `near` is its label, -1 if there is none. */
  function read(packedSet) {
    const numbers = (packed) => [...unpack(packed, Int16Array).values];
    const label = numbers(packedSet.label);
    const markOf = new Map(packedSet.marks.map((mark, index) => [mark.label, index]));
    const spaces = Object.entries(packedSet.spaces).map(([space, { places, neighbours, ...about }]) => {
      const tenths = numbers(places).map((place) => place / 10);
      const points = label.map((_, i) => [tenths[2 * i], tenths[2 * i + 1]]);
      const found = numbers(neighbours);
      const near = found.map((index) => (index < 0 ? -2 - index : label[index]));
      return [space, { ...about, points, near, neighbours: found.map((index) => Math.max(index, -1)) }];
    });
    return {
      ...packedSet,
      label,
      mark: label.map((each) => markOf.get(each) ?? -1),
      spaces: Object.fromEntries(spaces),
      pictures: packedSet.pictures && numbers(packedSet.pictures),
    };
  }
  const sets = Object.fromEntries(
    Object.entries(data.axes).map(([name, packedSet]) => [name, read(packedSet)]),
  );
  const moves = unpack(data.axes.moved.moves, Uint8Array).values; // down and across
  const large = unpack(data.digits, Uint8Array);
  const small = unpack(data.axes.digits.small, Uint8Array);

  let set; // that is shown
  let at = -1; // the point that is pointed at
  let alone = null; // the number of the mark that is seen alone
  let drawn = {}; // in each space: marks, line and rings

  /** A new element of SVG with those attributes. */
  function shape(name, attributes, text = "") {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.textContent = text;
    return made;
  }

  const isDigits = () => set !== sets.images;
  const letterOf = (mark) => (mark < 0 ? "+" : set.marks[mark].letter);
  const colourOf = (mark) => `glyph-${mark < 0 ? "other" : mark}`;
  const isSeen = (index) => alone === null || set.mark[index] === alone;
  const named = (label) => (label < 0 ? "no label" : `\u2068${set.labels[label]}\u2069`); // isolated
  const titled = (index) => (isDigits() ? `test ${IMAGE} ${index}` : set.names[index]);

  /** A digit as a canvas. Those that are large come first, then small ones, two pixels a byte. */
  function digit(index) {
    const canvas = element("canvas");
    canvas.setAttribute("aria-hidden", "true");
    const [count, side] = large.shape;
    if (index < count) {
      const size = side * side;
      paint(canvas, large.values.subarray(index * size, (index + 1) * size), side, side, 255, grey);
      return canvas;
    }
    const size = (SMALL * SMALL) / 2;
    const bytes = small.values.subarray((index - count) * size, (index - count + 1) * size);
    const greys = Array.from(bytes).flatMap((byte) => [byte >> 4, byte & 15]);
    paint(canvas, greys, SMALL, SMALL, 15, grey);
    return canvas;
  }

  /** The same in the larger picture in which it was moved. */
  function moved(index) {
    const side = large.shape[1];
    const whole = Math.floor((side * 3) / 2);
    const canvas = element("canvas", { width: whole, height: whole });
    canvas.setAttribute("aria-hidden", "true");
    const context = canvas.getContext("2d");
    context.fillRect(0, 0, whole, whole);
    const [down, across] = moves.subarray(2 * index, 2 * index + 2);
    context.drawImage(digit(index), across, down, side, side);
    return canvas;
  }

  /** A picture of a point's image; nothing if the page has none. */
  function pictureOf(index) {
    if (isDigits()) return set === sets.moved ? moved(index) : digit(index);
    const picture = set.pictures[index];
    if (picture < 0) return null;
    const { head, pictures } = data.images;
    const own = picture - pictures.length;
    const src = own < 0 ? head + pictures[picture] : set.head + set.small[own];
    return element("img", { src, alt: "", width: 64, height: 64 });
  }

  /** An image of the row below the pictures, its heading above it. */
  function tile(heading, index, label, same) {
    const picture = index < 0 ? null : pictureOf(index);
    const lines = [element("b", { textContent: named(label) })];
    if (same !== undefined) lines.push(element("span", { textContent: same ? " ✓ same label" : " ✗ another label" }));
    const name = index < 0 ? "" : titled(index);
    const missing = element("span", { className: "missing", textContent: index < 0 ? "not among the points here" : "the page has no room for its picture" });
    return element(
      "div", {},
      element("h4", { textContent: heading }),
      picture ?? missing,
      element("p", { className: "ui" }, ...lines),
      element("bdi", { textContent: name, title: name }),
    );
  }

  function describe() {
    const place = $("axes-pointed");
    if (at < 0) {
      place.replaceChildren();
      $("axes-said").textContent = "";
      return;
    }
    const own = set.label[at];
    const tiles = [tile("Pointed at", at, own)];
    const said = [`${titled(at)}: ${named(own)}`];
    for (const space of SPACES) {
      const { neighbours, near } = set.spaces[space];
      if (near[at] < 0) continue; // without a label, or alone
      tiles.push(tile(`Nearest by ${space}`, neighbours[at], near[at], near[at] === own));
      said.push(`nearest by ${space}: ${named(near[at])}`);
    }
    place.replaceChildren(...tiles);
    $("axes-said").textContent = said.join("; ");
  }

  /** Point at an image, in both spaces. */
  function pointAt(index) {
    at = index;
    for (const space of SPACES) {
      const { points, neighbours } = set.spaces[space];
      const { ring, other, line } = drawn[space];
      const next = at < 0 ? -1 : neighbours[at];
      for (const [circle, point] of [[ring, at], [other, next]]) {
        circle.classList.toggle("none", point < 0);
        if (point < 0) continue;
        circle.setAttribute("cx", points[point][0]);
        circle.setAttribute("cy", points[point][1]);
      }
      line.classList.toggle("none", next < 0);
      if (next < 0) continue;
      const [[x, y], [toX, toY]] = [points[at], points[next]];
      const length = Math.hypot(toX - x, toY - y);
      const part = length > 2 * MARK ? MARK / length : 0.5;
      line.setAttribute("x1", x + part * (toX - x));
      line.setAttribute("y1", y + part * (toY - y));
      line.setAttribute("x2", toX - part * (toX - x));
      line.setAttribute("y2", toY - part * (toY - y));
    }
    describe();
  }

  /** The nearest point to a place that is seen; -1 if none is as near as `reach`. */
  function nearest(space, x, y, reach, may = () => true) {
    let [best, least] = [-1, reach];
    set.spaces[space].points.forEach((point, index) => {
      const distance = Math.hypot(point[0] - x, point[1] - y);
      if (distance < least && isSeen(index) && may(point)) [best, least] = [index, distance];
    });
    return best;
  }

  function seeAlone(mark) {
    alone = mark;
    for (const space of SPACES) {
      drawn[space].marks.forEach((text, index) => text.classList.toggle("quiet", !isSeen(index)));
    }
    [...$("axes-legend").children].forEach((button) => {
      button.setAttribute("aria-pressed", String(Number(button.value) === mark && mark !== null));
    });
    if (at >= 0 && !isSeen(at)) pointAt(-1);
  }

  function drawLegend() {
    const entries = set.marks.map(({ letter, label }, mark) => [mark, set.labels[label], letter]);
    const others = [
      ...(set.others ? [`${grouped(set.others)} other label${set.others > 1 ? "s" : ""}`] : []),
      ...(set.unlabelled ? ["no label"] : []),
    ];
    if (others.length) entries.push([-1, others.join(", or "), "+"]);
    const buttons = entries.map(([mark, name, letter]) => {
      const sign = shape("svg", { viewBox: "-10 -10 20 20", "aria-hidden": "true" });
      sign.append(shape("text", { class: `glyph ${colourOf(mark)}` }, letter));
      const button = element("button", { type: "button", value: mark }, sign);
      if (name === letter) button.setAttribute("aria-label", name);
      else button.append(element("bdi", { textContent: name }));
      button.addEventListener("click", () => seeAlone(alone === mark ? null : mark));
      return button;
    });
    $("axes-legend").replaceChildren(...buttons);
    const words = entries.filter(([, name, letter]) => name !== letter).map(([, name, letter]) => `${letter}\u00a0\u2068${name}\u2069`);
    $("axes-letters").textContent = words.join(", "); // on paper
  }

  function draw(name) {
    set = sets[name];
    alone = null;
    const order = [...set.mark.keys()].sort((a, b) => (set.mark[b] < 0) - (set.mark[a] < 0)); // others first
    for (const space of SPACES) {
      const { points } = set.spaces[space];
      const marks = set.mark.map((mark, index) => {
        const [x, y] = points[index];
        return shape("text", { class: `glyph ${colourOf(mark)}`, x, y }, letterOf(mark));
      });
      const line = shape("line", { class: "near none" });
      const ring = shape("circle", { class: "ring none", r: 11 });
      const other = shape("circle", { class: "ring dashed none", r: 11 });
      const place = $(`axes-${space}`);
      place.setAttribute("viewBox", `0 0 ${set.width} ${set.height}`);
      place.replaceChildren(...order.map((index) => marks[index]), line, other, ring);
      drawn[space] = { marks, line, ring, other };
      const { dimensions, shares } = set.spaces[space];
      const [first, second] = shares.map(percent);
      $(`axes-${space}-share`).textContent = `${grouped(dimensions)} numbers an image. To the right: the first axis, ${first} of the variance; upwards: the second, ${second}.`;
    }
    drawLegend();
    pointAt(set.spaces.pixels.points.length ? 0 : -1);
  }

  const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  for (const space of SPACES) {
    const place = $(`axes-${space}`);
    const follow = (event) => {
      const box = place.getBoundingClientRect();
      const scale = set.width / box.width;
      const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
      const found = nearest(space, x, y, REACH);
      if (found >= 0 && found !== at) pointAt(found);
    };
    place.addEventListener("pointermove", follow);
    place.addEventListener("pointerdown", follow);
    place.addEventListener("keydown", (event) => {
      const step = STEPS[event.key];
      if (!step) return;
      event.preventDefault();
      const [x, y] = at < 0 ? [set.width / 2, set.height / 2] : set.spaces[space].points[at];
      const beyond = ([toX, toY]) => {
        const [along, across] = step[0] ? [(toX - x) * step[0], toY - y] : [(toY - y) * step[1], toX - x];
        return along > 0 && along >= Math.abs(across);
      };
      const found = nearest(space, x, y, Infinity, at < 0 ? undefined : beyond);
      if (found >= 0) pointAt(found);
    });
  }
  for (const radio of document.querySelectorAll("input[name=axes-set]")) {
    radio.addEventListener("change", () => draw(radio.value));
  }
  $("axes-panel").hidden = false;
  draw("digits");
}
