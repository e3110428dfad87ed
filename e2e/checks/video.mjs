// Cameras with coded video: as MJPEG in the usual clients, and unchanged in the page. A fake RTSP camera replays clips
// whose frames are numbered, and says when it sent each, so the age of what is on the screen is known.

import { alone } from "../lib/alone.mjs";
import { goTo, inBoth, isQuiet, open, UNTRUSTED_HOST } from "../lib/browser.mjs";
import { readWithCurl, readWithFfmpeg, readWithOpenCv } from "../lib/clients.mjs";
import { CLIP_FRAMES, FakeRtsp, GOP_MS, makeClip, SIZE } from "../lib/fake_rtsp.mjs";
import { jpegSize, readStream } from "../lib/multipart.mjs";
import { childrenOf } from "../lib/process.mjs";
import { saveScreenshots } from "../lib/screenshot.mjs";
import { lackingOpenCv } from "../lib/tool.mjs";
import { ageOnScreen, firstFrames, stallPage, videoAges, watchVideo } from "../lib/video.mjs";
import { ensure, sleep, until } from "../lib/wait.mjs";
import { quantile } from "../lib/wall.mjs";
import { snapshot } from "../lib/watch.mjs";

const MEASURE_MS = 4000;
const LEAST_FPS = 8;
// Longer than a GOP of the clip, so that there is a newer keyframe to skip to.
const STALL_MS = 6000;
// After a stall, and once there is room.
const MOST_AGE_AFTER_STALL_MS = 1000;
const JOINS = 5;
const YOUNG_MS = 500;

const BY_SOURCE = "by Media Source Extensions";
// A machine that is busy with anything else decodes later, so the limits of times are higher than what is usual.
const WEBCODECS = {
  title: "video-webcodecs",
  host: "127.0.0.1",
  element: ".video",
  words: "by WebCodecs",
  mostAgeMs: 100,
  mostStartMs: 1000,
};
// Browsers have no WebCodecs in pages of a host that they do not trust.
const MSE = {
  title: "video-mse",
  host: UNTRUSTED_HOST,
  element: "video:not(.video)",
  words: `${BY_SOURCE}: this page is not on HTTPS or localhost, and browsers have WebCodecs only there`,
  mostAgeMs: 300,
  mostStartMs: 1000,
};

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
async function measure(page, fake, mostAgeMs) {
  const { fps, ages } = await videoAges(page, fake, MEASURE_MS);
  const [half, most] = [0.5, 0.95].map((share) => Math.round(quantile(ages, share)));
  const figures = `${fps.toFixed(0)} fps, ${half} ms old in the median and ${most} ms for 95 %`;
  ensure(fps >= LEAST_FPS && half < mostAgeMs, figures);
  return figures;
}

const detail = (page, label) =>
  page.$$eval("#details > div", (rows, wanted) => rows.find((row) => !row.hidden && row.firstChild.textContent === wanted)?.lastChild.textContent ?? "", label);

const isCovered = (page) => page.evaluate(() => document.querySelector("#stage > canvas:not(.video)") !== null);

/** Waits until the page says how it shows the camera. */
const isShownAs = (page, words) => until(`the page says "${words}"`, async () => (await detail(page, "Shown as")) === words);

/** Opens the page again and again; returns how soon it showed a frame, and a young one, in words. */
async function join(page, fake, url, mostMs) {
  const all = [];
  for (let n = 0; n < JOINS; n += 1) {
    await goTo(page, "about:blank");
    // The keyframe is older each time.
    await sleep((n * GOP_MS) / JOINS);
    await goTo(page, url);
    all.push(await until("the page shows a young frame", () => firstFrames(page, fake, YOUNG_MS)));
  }
  const half = (key) => quantile(all.map((times) => times[key]).sort((a, b) => a - b), 0.5);
  const figures = `of ${JOINS} joins in the median the first frame after ${half("first")} ms and a young one after ${half("young")} ms`;
  ensure(half("young") <= mostMs, figures);
  return figures;
}

/** Fails unless the video has the address of its own that the page offers. */
async function offersAddress(page, framecast) {
  const address = await page.$eval("#address-video", ({ value }) => value);
  ensure(address.endsWith("/cameras/front/stream.mp4"), `the page offers ${address}`);
  const { status, headers, body } = await fetch(`${framecast.url}${new URL(address).pathname}`);
  await body.cancel();
  ensure(status === 200 && headers.get("content-type") === "video/mp4", `the answer is ${status}, ${headers.get("content-type")}`);
}

/**
 * The video moves in time; after a stall of the page it is in time again, and the page says what was skipped; a lost
 * camera shows a slate, and the video when it is back, on the same page.
 */
async function play(stage, name, { title, host, element, words, mostAgeMs, mostStartMs }) {
  const { fake, framecast } = await camera(stage, "h264");
  const browser = await stage.browser(name);
  const page = await open(browser, "about:blank");
  await watchVideo(page, name);
  const url = `http://${host}:${framecast.port}`;
  await goTo(page, url);
  await until("the tile shows video", () => page.$eval(`.tile ${element}`, ({ classList }) => classList.contains("seen")));
  await goTo(page, `${url}/cameras/front`);
  await until("the page shows video", () => page.$eval(`#stage ${element}`, ({ classList }) => classList.contains("seen")));
  await isShownAs(page, `H.264 video, as the camera sends it, ${words}`);
  await offersAddress(page, framecast);
  const figures = await measure(page, fake, mostAgeMs);
  const shownAgeMs = await ageOnScreen(page, fake);
  ensure(shownAgeMs < MOST_AGE_AFTER_STALL_MS, `the picture on the screen is ${shownAgeMs} ms old`);
  await stallPage(page, STALL_MS);
  await until("the page tells that frames were skipped", async () => Number(await detail(page, "Skipped frames")) > 0);
  await measure(page, fake, MOST_AGE_AFTER_STALL_MS);
  ensure(childrenOf(framecast.pid).length === 0, "a program decodes the video, although the browser does");
  await fake.kill();
  await until("a slate covers the video", () => isCovered(page));
  await fake.run();
  await until("the video is back", async () => !(await isCovered(page)));
  await measure(page, fake, mostAgeMs);
  isQuiet(page);
  // Firefox complains if a page is left, or loaded again for another viewport, while it opens its WebSocket.
  await saveScreenshots(stage, page, `${title}-camera`, name);
  await goTo(page, url);
  await saveScreenshots(stage, page, title, name);
  const starts = await join(page, fake, `${url}/cameras/front`, mostStartMs);
  return `${figures}; ${starts}`;
}

/** If the worker that decodes cannot be loaded, the page plays the video in the next way, and says why. */
async function withoutWorker(stage) {
  const { framecast } = await camera(stage, "h264");
  const browser = await stage.browser("chromium");
  const page = await open(browser, "about:blank");
  await page.setRequestInterception(true);
  page.on("request", (request) => (/decoder_worker/.test(request.url()) ? request.abort() : request.continue()));
  await goTo(page, `${framecast.url}/cameras/front`);
  await isShownAs(page, `H.264 video, as the camera sends it, ${BY_SOURCE}: this page cannot load its decoder`);
}

/** If WebCodecs of a browser lacks a codec that it plays otherwise, the page does that, and says why. */
async function withoutCodec(stage) {
  const { framecast } = await camera(stage, "h265");
  const browser = await stage.browser("firefox");
  const page = await open(browser, `${framecast.url}/cameras/front`);
  await isShownAs(page, `H.265 video, as the camera sends it, ${BY_SOURCE}: WebCodecs of this browser lacks H.265`);
  isQuiet(page);
}

/** If the browser lacks the codec, the page shows pictures and says why. */
async function fallBack(stage) {
  const { framecast } = await camera(stage, "h265");
  const browser = await stage.browser("chromium");
  const page = await open(browser, `${framecast.url}/cameras/front`);
  await isShownAs(page, "H.265 cannot be played by this browser; showing pictures");
  await until("the page shows pictures", () => isCovered(page));
  await sleep(100);
  isQuiet(page);
}

export const checks = [
  { name: "video-mjpeg", needs: ["ffmpeg", "curl", "python3"], lacking: lackingOpenCv, run: mjpeg },
  ...[WEBCODECS, MSE].flatMap((way) => inBoth(way.title, (stage, name) => play(stage, name, way), "ffmpeg").map(alone)),
  { name: "video-no-worker", needs: ["chromium", "ffmpeg"], run: withoutWorker },
  { name: "video-no-codec", needs: ["firefox-esr", "ffmpeg"], run: withoutCodec },
  { name: "video-fallback", needs: ["chromium", "ffmpeg"], run: fallBack },
];
