// Makes the picture in the README: the page with four cameras, in Chromium. `node picture.mjs`, after a release build.

import { fileURLToPath } from "node:url";
import { moves, open, screenshot } from "./lib/browser.mjs";
import { Stage } from "./lib/stage.mjs";
import { until } from "./lib/wait.mjs";

const PICTURE = fileURLToPath(new URL("../docs/page.png", import.meta.url));
const drawn = (filter) => `exec:ffmpeg -v error -re -f lavfi -i ${filter} -f mjpeg -q:v 4 -`;
const CAMERAS = [
  "door=emulated:?size=640x360",
  "workshop=test:?size=640x360",
  `garden=${drawn("gradients=size=640x360:rate=15:speed=0.02:c0=0x14532d:c1=0x65a30d:c2=0x0ea5e9:nb_colors=3")}`,
  `printer=${drawn("mandelbrot=size=640x360:rate=10:start_scale=0.6:end_scale=0.01")}`,
];

const stage = new Stage("picture");
try {
  const framecast = await stage.framecast(CAMERAS);
  const page = await open(await stage.browser("chromium"), framecast.url, { width: 1120, height: 780 });
  await until("four cameras are live", () => page.$eval("#summary", ({ textContent }) => /4 live/.test(textContent)));
  await moves(page, ".tile:last-child");
  await screenshot(page, PICTURE);
} finally {
  for (const complaint of await stage.end()) console.error(complaint);
}
