// An HDMI capture card whose source changes its size while people watch: the stream follows, and nobody is
// disconnected.

import { ensure, until } from "../../lib/wait.mjs";
import { Viewer } from "../../lib/watch.mjs";

const HDMI_INPUT = 3;
// Entries of vivid's control `dv_timings_signal_mode`.
const NO_SIGNAL = 1;
const SELECTED_TIMINGS = 4;
// Entries of vivid's control `dv_timings`.
const TIMINGS = { "640x480": 0, "720x480": 2, "720x576": 4 };

async function follow(stage) {
  const { vm, single } = await stage.machine();
  await vm.exec(`v4l2-ctl -d ${single} --set-input=${HDMI_INPUT}`);
  const select = (size) => vm.set(single, { dv_timings_signal_mode: SELECTED_TIMINGS, dv_timings: TIMINGS[size] });
  const [first, ...others] = Object.keys(TIMINGS);
  await select(first);
  const framecast = await stage.guestFramecast([`card=v4l2:${single}?format=yuyv`]);
  const viewer = new Viewer(stage, `${framecast.url}/cameras/card/stream.mjpg`);
  await viewer.more(2);
  ensure(viewer.size === first, `the first picture is ${viewer.size}`);
  for (const size of [...others, first]) {
    await select(size);
    await viewer.until(`pictures of ${size}`, () => viewer.size === size, 20000);
    await viewer.more(2);
    const { capture } = await framecast.camera("card");
    const told = `${capture.given.width}x${capture.given.height}`;
    ensure(told === size, `the API reports ${told} instead of ${size}`);
  }
  const reason = await unplugged({ vm, single, framecast, viewer });
  await select(others[0]);
  const isBack = () => viewer.pictureAt > viewer.slateAt && viewer.size === others[0];
  await viewer.until(`pictures of ${others[0]} after no signal`, isBack);
  return `${[first, ...others, first].join(", ")}, "${reason}", ${others[0]}`;
}

/** The signal ends: the viewer learns why. */
async function unplugged({ vm, single, framecast, viewer }) {
  await vm.set(single, { dv_timings_signal_mode: NO_SIGNAL });
  await viewer.until("the slate", () => viewer.slateAt > viewer.pictureAt);
  const reason = await until("the card is lost", async () => (await framecast.camera("card")).reason);
  ensure(/signal|no picture/.test(reason), `the reason is ${reason}`);
  return reason;
}

export const checks = [{ name: "vm-hdmi", run: follow }];
