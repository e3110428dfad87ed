// The dialog that marks a moment, opened with the keyboard.

import { takesKeys } from "./keys.mjs";
import { ensure, until } from "./wait.mjs";

/** Waits until the page offers marks: it does once the server has said that it takes them. */
export async function offersMarks(page) {
  await until("the page offers marks", () => page.evaluate(() => document.getElementById("mark").checkVisibility()));
}

/** Opens the dialog with its key. The page ignores that key until it offers marks. */
export async function openMark(page) {
  await offersMarks(page);
  await takesKeys(page);
  await page.keyboard.press("m");
  await opened(page);
}

/** Waits until the dialog is open and takes keys. */
export async function opened(page) {
  await until("the dialog is open", () => page.evaluate(() => document.querySelector("dialog.mark").open));
  await takesKeys(page);
}

/** Types `label` into the open dialog. */
export async function typeLabel(page, label) {
  await page.keyboard.type(label);
  const typed = await page.evaluate(() => document.getElementById("mark-label").value);
  ensure(typed === label, `the dialog has the label "${typed}" instead of "${label}"`);
}
