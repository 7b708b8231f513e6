// Guess first: questions that are answered on a click.

for (const [name, { right, why, grid }] of Object.entries(data.guesses)) {
  if (right === null && !$("train")) continue; // only a trial tells
  const place = $(`guess-${name}`);
  const buttons = [...place.querySelectorAll("button")];
  const verdict = place.querySelector("[role=status]");
  place.hidden = false;
  buttons.forEach((button, option) => {
    button.addEventListener("click", () => {
      for (const each of buttons) each.classList.remove("right", "wrong");
      if (right === null) {
        const there = element("a", { href: "#train", textContent: "Train it" });
        verdict.replaceChildren(`You say: ${button.textContent}. ${why} `, there);
        return;
      }
      const answer = buttons[right];
      if (button !== answer) button.classList.add("wrong");
      answer.classList.add("right");
      verdict.textContent = `${button === answer ? "Right." : `No: ${answer.textContent}.`} ${why}`;
    });
  });
  if (grid) {
    const { shape, values } = unpack(data.models[grid.model].weights[grid.weight], Float32Array);
    const weights = values.subarray(right * shape[1], (right + 1) * shape[1]);
    paint(place.querySelector("canvas"), weights, ...grid.shape, largestOf(weights), diverging);
  }
}
$("guessed").hidden = false; // on paper, at the end
