// The dialog that marks a moment, opened with the keyboard.

import { moves } from "./browser.mjs";
import { until } from "./wait.mjs";

/**
 * Opens the dialog with its key. The page ignores that key until the server has said that it takes marks, which the
 * button shows; Chromium drops keys until it has painted the page.
 */
export async function openMark(page) {
  await until("the page offers marks", () => page.$eval("#mark", (button) => button.checkVisibility()));
  await moves(page, ":is(#stage, .picture)", 1);
  await page.keyboard.press("m");
  await until("the dialog is open", () => page.$("dialog.mark[open]"));
}

/** Types `label` into the open dialog. */
export async function typeLabel(page, label) {
  // Chromium drops keys until it has painted the dialog.
  await until("the label is typed", async () => {
    await page.$eval("#mark-label", (input) => (input.value = ""));
    await page.keyboard.type(label);
    return (await page.$eval("#mark-label", (input) => input.value)) === label;
  });
}
