// The texts of the pages: for a picture that stands still, for lost cameras, and for an unknown address.

import { alone } from "../lib/alone.mjs";
import { inBoth, moves, open, recordTold, screenshot, toldBy } from "../lib/browser.mjs";
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
  const said = () => {
    const tile = document.querySelector(".tile");
    return `${tile.querySelector(".state").textContent}: ${tile.querySelector(".figures").textContent}`;
  };
  await recordTold(page, said);
  await until("the camera is live", async () => /^live: \d+ fps/.test((await toldBy(page)).at(-1)));
  const before = (await toldBy(page)).length;
  framecast.freeze();
  const frozenAt = Date.now();
  const since = async (state) => (await toldBy(page)).slice(before).filter((text) => text.startsWith(state));
  await until("the tile says frozen, or unreachable", async () => (await since("frozen")).length > 0 || (await since("unreachable")).length > 0);
  const afterMs = Date.now() - frozenAt;
  await screenshot(page, stage.out(`stalled-${name}.png`));
  await until("the age goes on, or the tile says unreachable", async () => (await since("frozen")).length > 1 || (await since("unreachable")).length > 0);
  const all = (await toldBy(page)).slice(before).join("; ");
  const [first, second] = [...all.split("unreachable")[0].matchAll(/frozen: (\d+(?:\.\d)?) s old/g)].map(([, age]) => Number(age));
  ensure(second > first, `the tile says one after the other: ${all}`);
  framecast.thaw();
  await until("the tile is live again", async () => (await toldBy(page)).at(-1).startsWith("live"));
  await moves(page, ".picture");
  await until("no picture is dim", () => page.evaluate(() => document.querySelector(".picture.stalled") === null));
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
