// Pictures of a page for people to look at.

import { screenshot } from "./browser.mjs";
import { sleep } from "./wait.mjs";

export const DESKTOP = { width: 1280, height: 800 };
export const PHONE = { width: 390, height: 844, deviceScaleFactor: 2, hasTouch: true, isMobile: false };

/** Leaves pictures of the page in `out`: on a phone and a desktop, in light and dark where the browser can. */
export async function saveScreenshots(stage, page, name, browserName) {
  for (const [size, viewport] of [["phone", PHONE], ["desktop", DESKTOP]]) {
    await page.setViewport(viewport);
    for (const scheme of browserName === "chromium" ? ["dark", "light"] : ["light"]) {
      if (browserName === "chromium") await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
      await sleep(300);
      await screenshot(page, stage.out(`${name}-${browserName}-${size}-${scheme}.png`));
    }
  }
}
