// White paper to draw on with mouse, finger or pen.

const PEN = 15;

/** Make a canvas a sheet of paper; gives {isEmpty, png, back, clear}. */
export function paper(canvas) {
  const context = canvas.getContext("2d");
  let strokes = [];
  let stroke = null;

  const place = ({ clientX, clientY, pressure, pointerType }) => {
    const at = canvas.getBoundingClientRect();
    const width = pointerType === "pen" && pressure ? PEN * (0.5 + pressure) : PEN;
    return { x: (clientX - at.left) * canvas.width / at.width, y: (clientY - at.top) * canvas.height / at.height, width };
  };

  function redraw() {
    context.fillStyle = "#fff";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.strokeStyle = "#1a1c20";
    context.lineCap = context.lineJoin = "round";
    for (const points of strokes) {
      let before = points[0];
      for (const point of points) { // a dot is a line to itself
        context.lineWidth = point.width;
        context.beginPath();
        context.moveTo(before.x, before.y);
        context.lineTo(point.x, point.y);
        context.stroke();
        before = point;
      }
    }
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    stroke = { id: event.pointerId, points: [place(event)] };
    strokes.push(stroke.points);
    redraw();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (stroke?.id !== event.pointerId) return;
    for (const each of event.getCoalescedEvents?.() ?? [event]) stroke.points.push(place(each));
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
