// The keyboard, as a person without a pointer uses it.

import { until } from "./wait.mjs";

/**
 * Waits until keys reach the page: Chromium drops them until it has painted a page, or a dialog that has just opened.
 * Presses a key that does nothing.
 */
export async function takesKeys(page) {
  await until("keys reach the page", async () => {
    await page.evaluate(() => {
      globalThis.hasKey = false;
      addEventListener("keydown", () => (globalThis.hasKey = true), { capture: true, once: true });
    });
    await page.keyboard.press("Control");
    return page.evaluate(() => globalThis.hasKey);
  });
}

/** Waits until an element of `selector` is visible; then presses Tab until one of them has the focus. */
export async function tabTo(page, selector) {
  await readyFor(page, selector);
  await pressTab(page, selector);
}

/** The same in the other direction. */
export async function tabBackTo(page, selector) {
  await readyFor(page, selector);
  await page.keyboard.down("Shift");
  await pressTab(page, selector).finally(() => page.keyboard.up("Shift"));
}

/** The page may draw the element only after the server's answer. */
async function readyFor(page, selector) {
  await until(`${selector} is visible`, () =>
    page.evaluate((wanted) => [...document.querySelectorAll(wanted)].some((element) => element.checkVisibility()), selector),
  );
  await takesKeys(page);
}

async function pressTab(page, selector, most = 60) {
  for (let n = 0; n < most; n += 1) {
    if (await page.evaluate((wanted) => document.activeElement?.matches(wanted) ?? false, selector)) return;
    await page.keyboard.press("Tab");
  }
  throw new Error(`the focus is not at ${selector} after ${most} presses of Tab`);
}
