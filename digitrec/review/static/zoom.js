// Zoom and move a picture: wheel, pinch, double click, drag.

const MAX_SCALE = 12;
const WHEEL = 0.002; // part of the scale by which a pixel of the wheel changes it
const PINCH = 0.01; // the same for the pinch of a touch pad, which comes as a wheel with Ctrl
const DOUBLE = 3;

/** Make the first SVG in a frame zoomable; `onZoom(scale)` is called at every change. Return {reset, follow}. */
export function zoomable(frame, onZoom = () => {}) {
  const pointers = new Map();
  const drawing = () => frame.querySelector("svg");

  function read() {
    const svg = drawing();
    if (!svg) return null;
    svg.dataset.base ??= svg.getAttribute("viewBox");
    const [baseX, baseY, baseWidth, baseHeight] = svg.dataset.base.split(" ").map(Number);
    const [x, y, width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
    return { svg, base: { x: baseX, y: baseY, width: baseWidth, height: baseHeight }, x, y, width, height, scale: baseWidth / width };
  }

  function write({ svg, base }, x, y, scale) {
    const within = Math.min(MAX_SCALE, Math.max(1, scale));
    const width = base.width / within;
    const height = base.height / within;
    const left = Math.min(Math.max(x, base.x), base.x + base.width - width);
    const top = Math.min(Math.max(y, base.y), base.y + base.height - height);
    svg.setAttribute("viewBox", `${left} ${top} ${width} ${height}`);
    frame.classList.toggle("zoomed", within > 1);
    onZoom(within);
  }

  /** Return a point of the screen in the units of the drawing. */
  const toPoint = (svg, { x, y }) => new DOMPoint(x, y).matrixTransform(svg.getScreenCTM().inverse());

  /** Zoom by a factor; the point of the picture under `screen` stays there. */
  function zoomAt(screen, factor) {
    const view = read();
    if (!view) return;
    const scale = Math.min(MAX_SCALE, Math.max(1, view.scale * factor));
    const point = toPoint(view.svg, screen);
    const ratio = view.scale / scale;
    write(view, point.x - (point.x - view.x) * ratio, point.y - (point.y - view.y) * ratio, scale);
  }

  function moveBy(from, to) {
    const view = read();
    if (!view) return;
    const start = toPoint(view.svg, from);
    const end = toPoint(view.svg, to);
    write(view, view.x + start.x - end.x, view.y + start.y - end.y, view.scale);
  }

  function reset() {
    const view = read();
    if (view) write(view, view.base.x, view.base.y, 1);
  }

  /** Move a zoomed picture so that a box is in its middle. */
  function follow([x, y, width, height]) {
    const view = read();
    if (view && view.scale > 1) write(view, x + width / 2 - view.width / 2, y + height / 2 - view.height / 2, view.scale);
  }

  frame.addEventListener("wheel", (event) => {
    const view = read();
    const isIn = event.deltaY < 0;
    if (!view || event.deltaY === 0 || (!isIn && view.scale === 1)) return; // at its smallest, the wheel moves the page
    event.preventDefault();
    zoomAt({ x: event.clientX, y: event.clientY }, Math.exp(-event.deltaY * (event.ctrlKey ? PINCH : WHEEL)));
  }, { passive: false });
  frame.addEventListener("dblclick", (event) => {
    const view = read();
    if (!view) return;
    if (view.scale > 1) reset();
    else zoomAt({ x: event.clientX, y: event.clientY }, DOUBLE);
  });
  frame.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !drawing()) return;
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (pointers.size > 1 || frame.classList.contains("zoomed")) frame.setPointerCapture(event.pointerId);
  });
  frame.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const now = { x: event.clientX, y: event.clientY };
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const distance = (point) => Math.max(1, Math.hypot(point.x - other.x, point.y - other.y));
      zoomAt({ x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 }, distance(now) / distance(before));
    } else moveBy(before, now);
    pointers.set(event.pointerId, now);
  });
  for (const kind of ["pointerup", "pointercancel", "pointerleave"]) {
    frame.addEventListener(kind, (event) => pointers.delete(event.pointerId));
  }
  return { reset, follow };
}
