// Where texts were drawn on canvases: the page cannot be asked for them as for elements.

const inked = new WeakMap();

const LEFT = { left: 0, start: 0, center: 0.5, right: 1, end: 1 };

function place(context, text, x, y) {
  const { width, actualBoundingBoxAscent: above, actualBoundingBoxDescent: below } = context.measureText(text);
  const left = x - width * (LEFT[context.textAlign] ?? 0);
  const turned = context.getTransform();
  const corners = [
    [left, y - above],
    [left + width, y - above],
    [left, y + below],
    [left + width, y + below],
  ].map(([cornerX, cornerY]) => turned.transformPoint({ x: cornerX, y: cornerY }));
  const [xs, ys] = [corners.map((corner) => corner.x), corners.map((corner) => corner.y)];
  return { text, left: Math.min(...xs), right: Math.max(...xs), top: Math.min(...ys), bottom: Math.max(...ys) };
}

// From now on every text that is drawn is remembered, until the canvas is cleared.
export function recordInk() {
  const { fillText, clearRect } = CanvasRenderingContext2D.prototype;
  CanvasRenderingContext2D.prototype.fillText = function (text, x, y, ...rest) {
    const texts = inked.get(this.canvas) ?? [];
    texts.push(place(this, String(text), x, y));
    inked.set(this.canvas, texts);
    return fillText.call(this, text, x, y, ...rest);
  };
  CanvasRenderingContext2D.prototype.clearRect = function (...area) {
    inked.set(this.canvas, []);
    return clearRect.apply(this, area);
  };
}

// The texts on a canvas with their places on the page (CSS pixels); empty ones are left out.
export function readInk(canvas) {
  const box = canvas.getBoundingClientRect();
  const share = canvas.width ? box.width / canvas.width : 1;
  return (inked.get(canvas) ?? [])
    .filter(({ text }) => text.trim())
    .map(({ text, left, right, top, bottom }) => ({
      text,
      left: box.left + left * share,
      right: box.left + right * share,
      top: box.top + top * share,
      bottom: box.top + bottom * share,
    }));
}
