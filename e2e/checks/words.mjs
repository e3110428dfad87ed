// The texts of the pages: for a picture that stands still, for lost cameras, and for an unknown address.

import { alone } from "../lib/alone.mjs";
import { inBoth, moves, open } from "../lib/browser.mjs";
import { saveScreenshots } from "../lib/screenshot.mjs";
import { ensure, until } from "../lib/wait.mjs";

const MOVING = "emulated:?size=640x360&fps=10";

/**
 * A server that hangs: the age goes on, and the page reports the picture as frozen before the server as unreachable.
 */
async function stalls(stage, name) {
  const framecast = await stage.framecast([`front=${MOVING}`, `yard=${MOVING}`]);
  const page = await open(await stage.browser(name), framecast.url);
  await moves(page, ".picture");
  const said = () =>
    page.$eval(".tile", (tile) => ({
      state: tile.querySelector(".state").textContent,
      figures: tile.querySelector(".figures").textContent,
    }));
  await until("the camera is live", async () => /^\d+ fps/.test((await said()).figures));
  framecast.freeze();
  const frozenAt = Date.now();
  await until("the tile says frozen", async () => (await said()).state === "frozen", { withinMs: 4500, everyMs: 50 });
  const afterMs = Date.now() - frozenAt;
  await page.screenshot({ path: stage.out(`stalled-${name}.png`) });
  const first = await said();
  ensure(/^\d\.\d s old$/.test(first.figures), `the figures are: ${first.figures}`);
  await until("the age goes on", async () => /^\d\.\d s old$/.test((await said()).figures) && (await said()).figures > first.figures, {
    withinMs: 2000,
    everyMs: 50,
  });
  framecast.thaw();
  await until("the tile is live again", async () => (await said()).state === "live");
  await moves(page, ".picture");
  ensure((await page.$(".picture.stalled")) === null, "the picture is dim");
  return `frozen after ${(afterMs / 1000).toFixed(1)} s`;
}

/** The head counts the lost cameras; a camera out of view is idle, and the head does not mention it. */
async function counts(stage, name) {
  const framecast = await stage.framecast([`front=${MOVING}`, "gate=images:/nowhere/at/all", `yard=${MOVING}`]);
  const page = await open(await stage.browser(name), framecast.url);
  const summary = () => page.$eval("#summary", (element) => element.textContent);
  await until("the head of the page counts one lost camera", async () => (await summary()) === "3 cameras · 2 live · 1 lost");
  await moves(page, ".picture");
  await saveScreenshots(stage, page, "lost", name);
}

/** An unknown address, and the way from there to the start page. */
async function findsTheWay(stage, name) {
  const framecast = await stage.framecast([`front=${MOVING}`]);
  const browser = await stage.browser(name);
  for (const path of ["foo", "cameras/none", "cameras/", "a/b/c"]) {
    const page = await open(browser, `${framecast.url}/${path}`);
    const ground = await page.evaluate(() => getComputedStyle(document.body).display);
    ensure(ground === "flex", `/${path} has no style`);
    const sentence = await page.$eval("main p", (element) => element.textContent);
    ensure(/^(there is nothing at|unknown camera)/.test(sentence), `/${path} says: ${sentence}`);
    if (path === "cameras/none") await saveScreenshots(stage, page, "wrong-address", name);
    await page.click("main a");
    await until("the link leads to the start page", () => page.evaluate(() => location.pathname === "/"));
    await moves(page, ".picture");
    await page.close();
  }
}

export const checks = [
  ...inBoth("stalled", stalls).map(alone),
  ...inBoth("lost", counts),
  ...inBoth("wrong-address", findsTheWay),
];
