// Observes a wall of cameras in its page: its WebSockets for pictures, the pictures that came over them, and when the
// page painted each.

import { goTo } from "./browser.mjs";

/** Runs in the page before its own scripts; collects in `window.wall`. */
function gather() {
  const Native = WebSocket;
  const taken = new Map();
  const cameras = new Map();
  const wall = { sockets: [], bytes: 0, painted: 0, paints: [], subscribed: cameras };
  window.wall = wall;
  window.WebSocket = class extends Native {
    constructor(...all) {
      super(...all);
      // Ignores the WebSocket for events.
      if (!/\/api\/live$/.test(this.url)) return;
      wall.sockets.push(this);
      this.addEventListener("message", ({ data }) => {
        if (typeof data === "string") return;
        wall.bytes += data.byteLength;
        const header = new DataView(data);
        taken.set(`${header.getUint16(2)}/${header.getUint32(4)}`, Number(header.getBigUint64(8)) / 1000);
      });
    }

    send(text) {
      super.send(text);
      const { type, tile, sequence, camera, paint_ms: paintMs } = JSON.parse(text);
      if (type === "subscribe") cameras.set(tile, camera);
      if (type === "unsubscribe") cameras.delete(tile);
      if (type !== "ack") return;
      // The page acknowledges in the same callback that paints, so this is the time of painting.
      const ageMs = Date.now() - taken.get(`${tile}/${sequence}`);
      wall.paints.push({ camera: cameras.get(tile), at: performance.now(), ageMs, paintMs });
    }
  };
  const { transferFromImageBitmap } = ImageBitmapRenderingContext.prototype;
  ImageBitmapRenderingContext.prototype.transferFromImageBitmap = function (bitmap) {
    if (bitmap) wall.painted += 1;
    return transferFromImageBitmap.call(this, bitmap);
  };
}

/** Opens `url` and observes its wall. */
export async function watchWall(page, url) {
  await page.evaluateOnNewDocument(gather);
  await goTo(page, url);
}

/**
 * Observes for `lastMs`; returns the painted rate per camera, all ages sorted, and how often a second the browser drew.
 */
export async function measureWall(page, lastMs) {
  return page.evaluate(async (windowMs) => {
    const { wall } = window;
    wall.paints.length = 0;
    const painted = wall.painted;
    const start = performance.now();
    let frames = 0;
    let isOver = false;
    const count = () => {
      frames += 1;
      if (!isOver) requestAnimationFrame(count);
    };
    requestAnimationFrame(count);
    await new Promise((done) => setTimeout(done, windowMs));
    isOver = true;
    const seconds = (performance.now() - start) / 1000;
    const rates = {};
    for (const { camera } of wall.paints) rates[camera] = (rates[camera] ?? 0) + 1 / seconds;
    const sorted = (key) => wall.paints.map((paint) => paint[key]).sort((a, b) => a - b);
    return {
      rates,
      drawn: frames / seconds,
      ages: sorted("ageMs"),
      inPage: sorted("paintMs"),
      painted: wall.painted - painted,
      acknowledged: wall.paints.length,
    };
  }, lastMs);
}

/** The value below which `share` of the sorted `values` lie. */
export function quantile(values, share) {
  return values[Math.min(values.length - 1, Math.floor(values.length * share))];
}
