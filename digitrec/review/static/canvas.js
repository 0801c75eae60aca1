// Canvas to draw on with mouse, finger or pen.

const PEN = 15;

/** Prepare a canvas for drawing; return {isEmpty, png, back, clear}. */
export function drawingCanvas(canvas) {
  const context = canvas.getContext("2d");
  let strokes = [];
  let stroke = null;

  const toPoint = ({ clientX, clientY, pressure, pointerType }) => {
    const box = canvas.getBoundingClientRect();
    const width = pointerType === "pen" && pressure ? PEN * (0.5 + pressure) : PEN;
    return { x: (clientX - box.left) * canvas.width / box.width, y: (clientY - box.top) * canvas.height / box.height, width };
  };

  function redraw() {
    context.fillStyle = "#fff";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.strokeStyle = "#1a1c20";
    context.lineCap = context.lineJoin = "round";
    for (const points of strokes) {
      let previous = points[0];
      for (const point of points) { // a dot is a line of length 0
        context.lineWidth = point.width;
        context.beginPath();
        context.moveTo(previous.x, previous.y);
        context.lineTo(point.x, point.y);
        context.stroke();
        previous = point;
      }
    }
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    stroke = { id: event.pointerId, points: [toPoint(event)] };
    strokes.push(stroke.points);
    redraw();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (stroke?.id !== event.pointerId) return;
    for (const move of event.getCoalescedEvents?.() ?? [event]) stroke.points.push(toPoint(move));
    redraw();
  });
  for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, () => { stroke = null; });
  redraw();

  return {
    isEmpty: () => strokes.length === 0,
    png: () => new Promise((resolve) => { canvas.toBlob(resolve, "image/png"); }),
    back: () => { strokes.pop(); redraw(); },
    clear: () => { strokes = []; redraw(); },
  };
}
