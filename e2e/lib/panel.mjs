// The panel of a camera's controls, used with only the keyboard.

import { tabTo } from "./keys.mjs";
import { ensure, until } from "./wait.mjs";

/** Waits for the panel and opens it. */
export async function openPanel(page) {
  await until("the camera's page has a panel of controls", () => page.$("#controls:not([hidden]) summary"));
  ensure(await page.$eval("#controls details", (details) => !details.open), "the panel is open before anyone opened it");
  await tabTo(page, "#controls summary");
  await page.keyboard.press("Enter");
  await until("the panel is open and has a control", () => page.$("#controls details[open] [data-control]"));
}

/** The selector of a control's input, by its id in the API. */
export const control = (id) => `[data-control="${id}"]`;

/** Focuses a control and presses `keys`, one after the other. */
export async function press(page, id, ...keys) {
  await tabTo(page, control(id));
  for (const key of keys) await page.keyboard.press(key);
}

/** The value of a control on the page. */
export const shown = (page, id) =>
  page.$eval(control(id), (input) => (input.type === "checkbox" ? input.checked : Number(input.value)));

/** A control's data in the API at `url`. */
export async function controlOf(url, camera, id) {
  const response = await fetch(`${url}/api/cameras/${camera}/controls`);
  return (await response.json()).controls.find((known) => known.id === id);
}

/** Waits until both the device and the page have this value. */
export async function becomes(page, url, camera, id, value) {
  let last = [];
  await until(`${id} is ${value}`, async () => {
    last = [(await controlOf(url, camera, id)).value, await shown(page, id)];
    return last.every((one) => one === value);
  }).catch((error) => {
    throw new Error(`${error.message}; the device has ${last[0]}, the page ${last[1]}`);
  });
}
