// Small pictures of images, and the table of what is taken for what, whose counts open.

{
  const { head, pictures, labels, cells } = data.images;

  /** A picture by its number, into an image. */
  function fill(image, index) {
    image.src = head + pictures[index];
    return image;
  }
  for (const image of document.querySelectorAll("img[data-picture]")) {
    fill(image, Number(image.dataset.picture));
  }

  const rows = [...$("cells").tBodies[0].rows];
  const buttons = rows.map(() => []);
  let opened = null; // the button whose images are shown, and the row below its own that has them

  function close() {
    opened?.row.remove();
    opened?.button.setAttribute("aria-expanded", "false");
    opened = null;
  }

  /** "7 test images of cat are taken for dog". */
  function words({ place: [row, column], count }) {
    const [label, answer] = [row, column].map((each) => `\u2068${labels[each]}\u2069`); // isolated
    const images = `${grouped(count)} test image${count === 1 ? "" : "s"} of ${label}`;
    const verb = count === 1 ? "is" : "are";
    return `${images} ${verb} ${row === column ? "recognised" : `taken for ${answer}`}`;
  }

  function open(cell, button) {
    const tiles = cell.images.map(([name, share, index]) => {
      const picture = fill(element("img", { width: 64, height: 64, alt: "" }), index);
      return element("li", {}, picture, element("bdi", { textContent: name, title: name }), ` ${percent(share)}`);
    });
    const left = cell.count - tiles.length;
    const inside = element(
      "div", { id: "opened", className: "opened" },
      element("p", { className: "ui", textContent: `${words(cell)}; below each, how probable that answer was` }),
      element("ul", { className: "tiles" }, ...tiles),
    );
    if (left) {
      const more = `${tiles.length ? "and " : ""}${grouped(left)} more`;
      inside.append(element("p", { className: "ui", textContent: `${more}, for which the page has no room` }));
    }
    const row = element("tr", {}, element("td", { colSpan: labels.length + 1 }, inside));
    rows[cell.place[0]].after(row);
    button.setAttribute("aria-expanded", "true");
    $("cells-said").textContent = words(cell);
    opened = { button, row };
  }

  for (const cell of cells) {
    const [row, column] = cell.place;
    const place = rows[row].cells[column + 1];
    const count = element("span", { className: "printed", textContent: place.textContent });
    const button = element("button", { type: "button", textContent: place.textContent, tabIndex: -1 });
    button.setAttribute("aria-label", words(cell));
    button.setAttribute("aria-expanded", "false");
    button.addEventListener("click", () => {
      const again = opened?.button === button;
      close();
      if (!again) open(cell, button);
      focusOn(button);
    });
    place.replaceChildren(count, button);
    buttons[row][column] = button;
  }

  /** One button at a time is reached with Tab, the others with arrow keys. */
  function focusOn(button) {
    for (const other of buttons.flat()) other.tabIndex = -1;
    button.tabIndex = 0;
    button.focus();
  }
  for (const first of buttons.flat().slice(0, 1)) first.tabIndex = 0;
  $("cells-hint").hidden = cells.length === 0;

  const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  $("cells").addEventListener("keydown", (event) => {
    if (event.key === "Escape" && opened) {
      const { button } = opened;
      close();
      focusOn(button);
    }
    const step = STEPS[event.key];
    let row = buttons.findIndex((each) => each.includes(event.target));
    if (!step || row < 0) return;
    event.preventDefault();
    let column = buttons[row].indexOf(event.target);
    do {
      row += step[0];
      column += step[1];
    } while (buttons[row] && column >= 0 && column < labels.length && !buttons[row][column]);
    const next = buttons[row]?.[column];
    if (next) focusOn(next);
  });
}
