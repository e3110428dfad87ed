// Pictures of a page for people to look at.

import { screenshot } from "./browser.mjs";
import { sleep, until } from "./wait.mjs";

export const DESKTOP = { width: 1280, height: 800 };
export const PHONE = { width: 390, height: 844, deviceScaleFactor: 2, hasTouch: true, isMobile: false };

/** Waits until the tiles in view have pictures: a change of the viewport may have loaded the page again. */
function drawn(page) {
  return until("the tiles in view have pictures", () =>
    page.evaluate(() => {
      const isInView = (tile) => tile.getBoundingClientRect().top < innerHeight && tile.getBoundingClientRect().bottom > 0;
      return [...document.querySelectorAll(".tile")].filter(isInView).every((tile) => tile.querySelector(".picture > .seen"));
    }),
  );
}

/** Leaves pictures of the page in `out`: on a phone and a desktop, in light and dark where the browser can. */
export async function saveScreenshots(stage, page, name, browserName) {
  for (const [size, viewport] of [["phone", PHONE], ["desktop", DESKTOP]]) {
    await page.setViewport(viewport);
    for (const scheme of browserName === "chromium" ? ["dark", "light"] : ["light"]) {
      if (browserName === "chromium") await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
      await drawn(page);
      await sleep(300);
      await screenshot(page, stage.out(`${name}-${browserName}-${size}-${scheme}.png`));
    }
  }
}
