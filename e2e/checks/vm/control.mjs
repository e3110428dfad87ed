// Controls change the picture: brightness set over the API, and with only the keyboard on the camera's page.

import { open } from "../../lib/browser.mjs";
import { decode, luma, meanColour } from "../../lib/colour.mjs";
import { becomes, openPanel, press } from "../../lib/panel.mjs";
import { ensure, until } from "../../lib/wait.mjs";
import { snapshot } from "../../lib/watch.mjs";

const SIZE = { width: 320, height: 180 };
// How much the mean luma, 0 to 255, must move when brightness moves by a quarter of its range or more.
const MOVED = 20;

/** The mean luma of the next captured picture. */
async function brightness(framecast) {
  const { status, data } = await snapshot(framecast, "cam", "?max_age=0");
  ensure(status === 200, `the answer to a snapshot is ${status}`);
  return luma(meanColour(await decode(data, SIZE)));
}

/** Waits until `is` accepts the picture's mean luma. */
const turns = (framecast, what, is) =>
  until(`the picture is ${what}`, async () => {
    const found = await brightness(framecast);
    return is(found) && found;
  });

async function patch(framecast, changes) {
  const response = await fetch(`${framecast.url}/api/cameras/cam/controls`, {
    method: "PATCH",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(changes),
  });
  return { status: response.status, body: await response.json() };
}

/** Sets brightness as mjpg-streamer's clients do: by the V4L2 number in `/input_0.json`. */
async function command(framecast, value) {
  const { controls } = await (await fetch(`${framecast.url}/input_0.json`)).json();
  const { id, max, value: now } = controls.find(({ name }) => name === "Brightness");
  ensure(id === "9963776" && max === "255" && now === "128", `brightness is ${id}, ${now} of ${max}`);
  const query = `action=command&dest=0&plugin=0&id=${id}&group=1&value=${value}`;
  const answer = await (await fetch(`${framecast.url}/?${query}`)).text();
  ensure(answer === `${id}: 0`, `the command prints ${answer}`);
}

async function start(stage) {
  const { vm, single } = await stage.machine();
  await vm.set(single, { osd_text_mode: 2 });
  const framecast = await stage.guestFramecast([`cam=v4l2:${single}?format=yuyv&size=320x180&fps=5`]);
  return { framecast, normal: await brightness(framecast) };
}

async function overTheApi(stage) {
  const { framecast, normal } = await start(stage);
  const answer = await (await fetch(`${framecast.url}/api/cameras/cam/controls`)).json();
  const control = answer.controls.find(({ id }) => id === "brightness");
  const { type, min, max, step, default: initial, value } = control ?? {};
  const isRight = [type, min, max, step, initial, value].join() === "integer,0,255,1,128,128";
  ensure(isRight, `brightness is ${JSON.stringify(control)}`);
  const set = await patch(framecast, { brightness: 192 });
  ensure(set.status === 200, `the answer to the change is ${set.status}: ${JSON.stringify(set.body)}`);
  const bright = await turns(framecast, "brighter", (found) => found > normal + MOVED);
  await patch(framecast, { brightness: 64 });
  const dark = await turns(framecast, "darker", (found) => found < normal - MOVED);
  const refused = await patch(framecast, { brightness: 256 });
  ensure(refused.status === 422 && /0 to 255/.test(refused.body.error), `the answer to brightness 256 is ${JSON.stringify(refused)}`);
  await patch(framecast, { brightness: null });
  await turns(framecast, "as at first", (found) => Math.abs(found - normal) < 2);
  await command(framecast, 192);
  await turns(framecast, "brighter by a command", (found) => found > normal + MOVED);
  return `mean luma ${normal.toFixed(0)}, ${bright.toFixed(0)} at 192, ${dark.toFixed(0)} at 64`;
}

async function byKeyboard(stage) {
  const { framecast, normal } = await start(stage);
  const browser = await stage.browser("chromium");
  const page = await open(browser, `${framecast.url}/cameras/cam`);
  await openPanel(page);
  await press(page, "brightness", "Home");
  await becomes(page, framecast.url, "cam", "brightness", 0);
  const dark = await turns(framecast, "darker", (found) => found < normal - MOVED);
  await press(page, "brightness", "End");
  await becomes(page, framecast.url, "cam", "brightness", 255);
  const bright = await turns(framecast, "brighter", (found) => found > normal + MOVED);
  return `mean luma ${normal.toFixed(0)}, ${dark.toFixed(0)} after Home, ${bright.toFixed(0)} after End`;
}

export const checks = [
  { name: "vm-controls", needs: ["ffmpeg"], run: overTheApi },
  { name: "vm-panel", needs: ["chromium", "ffmpeg"], run: byKeyboard },
];
