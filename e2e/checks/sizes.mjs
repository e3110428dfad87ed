// Renditions as pages request them: screens of many sizes share few, and a viewer that finds the maximum number of
// renditions in use still gets a picture.

import { inBoth, moves, open } from "../lib/browser.mjs";
import { ensure, until } from "../lib/wait.mjs";
import { Viewer } from "../lib/watch.mjs";

const LARGE = "emulated:?size=1280x720&fps=5";
// Narrow phones, tablets, laptops and large screens; a ratio of 3 is shown as one of 2.
const SCREENS = [[320, 568, 1], [390, 844, 3], [800, 600, 1], [768, 1024, 2], [1024, 768, 1], [1280, 800, 1], [1920, 1080, 1]];
const MOST = 4;
// More than the page waits before it asks for another size.
const SETTLE_MS = 400;

const renditions = async (framecast, camera) => (await framecast.camera(camera)).renditions.map(({ query }) => query);

/** The renditions of the first camera, at most one, once they stay the same: the page changes them after a while. */
async function settled(framecast, page) {
  // By the page's own clock: it asks for another size some time after it was drawn with that size.
  await page.evaluate((ms) => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, ms)))), SETTLE_MS);
  let before = null;
  return until("the size has settled", async () => {
    const now = await renditions(framecast, "front");
    const isSame = before !== null && now.join() === before.join();
    before = now;
    return isSame && now.length <= 1 && now;
  }, { everyMs: SETTLE_MS });
}

async function areFew(stage, name) {
  const framecast = await stage.framecast([`front=${LARGE}`, `yard=${LARGE}`, `gate=${LARGE}`, `hall=${LARGE}`, `shed=${LARGE}`]);
  const page = await open(await stage.browser(name), framecast.url);
  const asked = new Set();
  for (const [width, height, deviceScaleFactor] of SCREENS) {
    await page.setViewport({ width, height, deviceScaleFactor });
    await moves(page, ".picture", 2);
    for (const query of await settled(framecast, page)) asked.add(query.replace(/&?fps=\d+/, ""));
  }
  ensure([...asked].every((query) => /^width=\d+$/.test(query)), `the page requested: ${[...asked].join(", ")}`);
  ensure(asked.size <= MOST, `${asked.size} sizes for ${SCREENS.length} screens: ${[...asked].join(", ")}`);
  return [...asked].join(", ");
}

async function areAllTaken(stage, name) {
  const framecast = await stage.framecast([`front=${LARGE}`, `yard=${LARGE}`]);
  for (const quality of [30, 40, 50, 60, 70, 80, 90, 95]) {
    // From two addresses, because each may have half of them.
    const address = quality < 70 ? "192.0.2.1" : "192.0.2.2";
    const url = `${framecast.url}/cameras/front/stream.mjpg?width=160&quality=${quality}`;
    new Viewer(stage, url, 50, { "X-Forwarded-For": address });
  }
  await until("the camera has all its renditions", async () => (await renditions(framecast, "front")).length === 8);
  const refused = await fetch(`${framecast.url}/cameras/front/stream.mjpg?width=320`);
  ensure(refused.status === 503, `the answer to a program is ${refused.status}`);
  const browser = await stage.browser(name);
  const wall = await open(browser, framecast.url, { width: 640, height: 480 });
  await moves(wall, ".tile:first-child .picture");
  const alone = await open(browser, `${framecast.url}/cameras/front`);
  await moves(alone, "#stage");
  const image = `<div id="here"><img src="${framecast.url}/cameras/front/stream.mjpg?width=320"></div>`;
  const elsewhere = await open(browser, await stage.page(image));
  await moves(elsewhere, "#here");
  const width = await elsewhere.$eval("img", (element) => element.naturalWidth);
  ensure(width === 1280, `the image is ${width} pixels wide`);
}

export const checks = [...inBoth("few-sizes", areFew), ...inBoth("sizes-taken", areAllTaken)];
