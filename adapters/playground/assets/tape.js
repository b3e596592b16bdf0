// The tape of an answer: one tick for each write, as far apart as they were, and as tall as the window was full.
// Pure drawing and wording; what is drawn when is app.js's.

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 20; // of the drawing, in pixels; style.css says the same
const SHORTEST = 5; // seconds that a tape shows at the least: one window, so that two ticks do not look far apart

const element = (name, attributes) => {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
};

const seconds = (value) => `${value.toFixed(1)} s`;

// What is left of a window now, given what was heard of it, and when.
export function left(report, heardAt, now) {
  const rest = report.resets - (now - heardAt) / 1000;
  return rest > 0 ? { left: report.left, resets: rest } : { left: report.limit, resets: 0 };
}

// "12 writes, 1.0 s apart, 3 of 5 left" while it grows; the averages once it is done.
export function figures(message, live, edits, limit) {
  const { tape, writes } = message;
  const count = writes === 1 ? "1 write" : `${writes.toLocaleString()} writes`;
  const total = tape.at(-1)[0] - tape[0][0];
  if (live) {
    const gap = tape.length > 1 ? `, ${seconds(tape.at(-1)[0] - tape.at(-2)[0])} apart` : "";
    return `${count}${gap}, ${edits.left} of ${limit} left`;
  }
  if (tape.length < 2) return count;
  return `${count}, ${seconds(total / (tape.length - 1))} apart on average, ${seconds(total)} in all`;
}

// Draw the ticks into `svg`; `elapsed` is the time since the first write, where more may come.
export function draw(svg, message, elapsed, limit) {
  const { tape } = message;
  const first = tape[0][0];
  const span = Math.max(tape.at(-1)[0] - first, elapsed, SHORTEST);
  const at = (after) => `${(0.4 + (99 * (after - first)) / span).toFixed(2)}%`;
  const ticks = tape.map(([after, remaining], index) => {
    const top = HEIGHT - 5 - ((HEIGHT - 7) * (remaining + 1)) / limit;
    const tick = element("line", {
      class: remaining === 0 ? "tick last-left" : "tick",
      x1: at(after),
      x2: at(after),
      y1: Math.max(top, 2).toFixed(1),
      y2: HEIGHT - 1,
    });
    const title = element("title", {});
    const gap = index ? `, ${seconds(after - tape[index - 1][0])} after the one before` : "";
    title.textContent = `Write ${message.writes - tape.length + index + 1}${gap}, ${remaining} left`;
    tick.append(title);
    return tick;
  });
  const head = element("circle", { class: "head", r: 2.5, cy: HEIGHT - 3.5, cx: at(first + Math.max(elapsed, 0)) });
  svg.replaceChildren(...ticks, head);
}
