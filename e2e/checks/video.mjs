// Cameras with coded video: as MJPEG in the usual clients, and unchanged in the page. A fake RTSP camera replays clips
// whose frames are numbered, and says when it sent each, so the age of what is on the screen is known.

import { alone } from "../lib/alone.mjs";
import { goTo, inBoth, isQuiet, open } from "../lib/browser.mjs";
import { readWithCurl, readWithFfmpeg, readWithOpenCv } from "../lib/clients.mjs";
import { CLIP_FRAMES, FakeRtsp, makeClip, SIZE } from "../lib/fake_rtsp.mjs";
import { jpegSize, readStream } from "../lib/multipart.mjs";
import { childrenOf } from "../lib/process.mjs";
import { saveScreenshots } from "../lib/screenshot.mjs";
import { lackingOpenCv } from "../lib/tool.mjs";
import { stallPage, videoAges, watchVideo } from "../lib/video.mjs";
import { ensure, sleep, until } from "../lib/wait.mjs";
import { quantile } from "../lib/wall.mjs";
import { snapshot } from "../lib/watch.mjs";

const MEASURE_MS = 4000;
// A machine that is busy with anything else decodes later.
const MOST_AGE_MS = 600;
const LEAST_FPS = 8;
// Longer than a GOP of the clip, so that there is a newer keyframe to skip to.
const STALL_MS = 6000;
// After a stall, and once there is room.
const MOST_AGE_AFTER_STALL_MS = 1000;

async function camera(stage, codec) {
  const fake = await FakeRtsp.start(stage, makeClip(stage, codec));
  return { fake, framecast: await stage.framecast([`front=${fake.url}`]) };
}

/** One ffmpeg serves the clients that read MJPEG, and ends after the last of them. */
async function mjpeg(stage) {
  const { framecast } = await camera(stage, "h264");
  const feed = `${framecast.url}/video_feed`;
  const holder = readStream(feed, () => false);
  stage.defer(() => holder.stop());
  await until("the camera is live", async () => (await framecast.camera("front")).state === "live");
  await until("ffmpeg decodes", () => childrenOf(framecast.pid).includes("ffmpeg"));
  let narrow = 0;
  const rendition = readStream(`${feed}?width=320`, ({ data }) => (narrow += Number(jpegSize(data).width === 320)) >= 5);
  stage.defer(() => rendition.stop());
  await Promise.all([readWithFfmpeg(feed, SIZE, CLIP_FRAMES), readWithCurl(stage, feed, SIZE), readWithOpenCv(feed, SIZE)]);
  await until("five pictures of the rendition", () => narrow >= 5);
  const { status, data } = await snapshot(framecast, "front");
  const size = jpegSize(data);
  ensure(status === 200 && size.width === SIZE.width && size.height === SIZE.height, `the snapshot: status ${status}, ${size.width}x${size.height}`);
  const children = childrenOf(framecast.pid);
  ensure(children.length === 1, `${children.length} programs run: ${children.join(", ")}`);
  holder.stop();
  const stoppedAt = Date.now();
  await until("ffmpeg has ended after its last viewer", () => childrenOf(framecast.pid).length === 0);
  return `ffmpeg ended after ${((Date.now() - stoppedAt) / 1000).toFixed(0)} s`;
}

/** Fails unless the video moves and is young; returns its rate and ages in words. */
async function measure(page, fake, mostAgeMs = MOST_AGE_MS) {
  const { fps, ages } = await videoAges(page, fake, MEASURE_MS);
  const [half, most] = [0.5, 0.95].map((share) => Math.round(quantile(ages, share)));
  const figures = `${fps.toFixed(0)} fps, ${half} ms old in the median and ${most} ms for 95 %`;
  ensure(fps >= LEAST_FPS && half < mostAgeMs, figures);
  return figures;
}

const detail = (page, label) =>
  page.$$eval("#details > div", (rows, wanted) => rows.find((row) => !row.hidden && row.firstChild.textContent === wanted)?.lastChild.textContent ?? "", label);

const isCovered = (page) => page.evaluate(() => document.querySelector("#stage canvas") !== null);

/**
 * The video moves in time; after a stall of the page it is in time again, and the page says what was skipped; a lost
 * camera shows a slate, and the video when it is back, on the same page.
 */
async function play(stage, name) {
  const { fake, framecast } = await camera(stage, "h264");
  const browser = await stage.browser(name);
  const page = await open(browser, "about:blank");
  await watchVideo(page);
  await goTo(page, framecast.url);
  await until("the tile shows video", () => page.$eval(".tile video", (video) => video.videoWidth > 0 && video.className === "seen"));
  await saveScreenshots(stage, page, "video", name);
  await goTo(page, `${framecast.url}/cameras/front`);
  await until("the page shows video", () => page.$eval("#stage video", ({ className }) => className === "seen"));
  await until("the page says so", async () => /^H\.264 video/.test(await detail(page, "Shown as")));
  const figures = await measure(page, fake);
  await stallPage(page, STALL_MS);
  await until("the page tells that frames were skipped", async () => Number(await detail(page, "Skipped frames")) > 0);
  await measure(page, fake, MOST_AGE_AFTER_STALL_MS);
  ensure(childrenOf(framecast.pid).length === 0, "a program decodes the video, although the browser does");
  await fake.kill();
  await until("a slate covers the video", () => isCovered(page));
  await fake.run();
  await until("the video is back", async () => !(await isCovered(page)));
  await measure(page, fake);
  isQuiet(page);
  return figures;
}

/** If the browser lacks the codec, the page shows pictures and says why. */
async function fallBack(stage) {
  const { framecast } = await camera(stage, "h265");
  const browser = await stage.browser("chromium");
  const page = await open(browser, `${framecast.url}/cameras/front`);
  await until("the page says that it shows pictures", async () => /^H\.265 cannot be played by this browser; showing pictures$/.test(await detail(page, "Shown as")));
  await until("the page shows pictures", () => isCovered(page));
  await sleep(100);
  isQuiet(page);
}

export const checks = [
  { name: "video-mjpeg", needs: ["ffmpeg", "curl", "python3"], lacking: lackingOpenCv, run: mjpeg },
  ...inBoth("video-mse", play, "ffmpeg").map(alone),
  { name: "video-fallback", needs: ["chromium", "ffmpeg"], run: fallBack },
];
