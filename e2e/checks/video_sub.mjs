// Cameras with a sub stream: a wall of tiles takes the sub streams, the page of one camera the main stream, and only what
// is watched is pulled.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { goTo, isQuiet, open } from "../lib/browser.mjs";
import { FakeRtsp, makeClip, SIZE } from "../lib/fake_rtsp.mjs";
import { ensure, until } from "../lib/wait.mjs";

const COUNT = 9;
const SUB_SIZE = { width: 320, height: 180 };
// Four columns, whose tiles are hardly wider than the sub streams.
const VIEWPORT = { width: 1390, height: 1130 };

/** A camera with these sources. It closes soon after its last viewer. */
const camera = (name, source, sub) => `[[camera]]
name = "${name}"
source = "${source}"
sub = "${sub}"
idle_timeout = "500ms"
`;

function writeConfig(stage, cameras) {
  const folder = mkdtempSync(path.join(tmpdir(), "framecast-sub-"));
  stage.defer(() => rmSync(folder, { recursive: true, force: true }));
  const config = path.join(folder, "framecast.toml");
  writeFileSync(config, cameras.join(""), { mode: 0o600 });
  return config;
}

/** The numbers of the cameras of `fake` with an open session, and how many sessions there were. */
async function pulled(fake) {
  const counts = await fake.counts();
  const open = counts.flatMap((count, number) => (count.open > 0 ? [number] : []));
  return { open, sessions: counts.reduce((sum, { sessions }) => sum + sessions, 0) };
}

const shownAs = (page) =>
  page.$$eval("#details > div", (rows) => rows.find((row) => row.firstChild.textContent === "Shown as")?.lastChild.textContent ?? "");

async function sub(stage) {
  const main = await FakeRtsp.start(stage, makeClip(stage), COUNT);
  const small = await FakeRtsp.start(stage, makeClip(stage, "h264", SUB_SIZE), COUNT + 1);
  const large = await FakeRtsp.start(stage, makeClip(stage, "h265"));
  const cameras = Array.from({ length: COUNT }, (_, number) => camera(`camera${number}`, main.urlOf(number), small.urlOf(number)));
  const framecast = await stage.framecast(["--config", writeConfig(stage, [...cameras, camera("h265", large.url, small.urlOf(COUNT))])]);
  const browser = await stage.browser("chromium");
  const page = await open(browser, framecast.url, VIEWPORT);
  await until("each tile shows the video of its sub stream", () =>
    page.$$eval(".tile video", (all, { count, width }) => all.length === count && all.every(({ videoWidth }) => videoWidth === width), {
      count: COUNT + 1,
      width: SUB_SIZE.width,
    }),
  );
  await until("the page counts them as live", () => page.$eval("#summary", ({ textContent }, count) => textContent.includes(`${count} live`), COUNT + 1));
  ensure((await pulled(small)).open.length === COUNT + 1, "not each sub stream is pulled");
  for (const fake of [main, large]) ensure((await pulled(fake)).sessions === 0, "a main stream was pulled for the wall");
  await goTo(page, `${framecast.url}/cameras/camera3`);
  await until("the page of a camera shows the main stream", () => page.$eval("#stage video", ({ videoWidth }, width) => videoWidth === width, SIZE.width));
  await until("it says so", async () => (await shownAs(page)).startsWith("H.264 video"));
  ensure(!(await shownAs(page)).includes("sub stream"), "the page says that it shows the sub stream");
  await until("no sub stream is pulled", async () => (await pulled(small)).open.length === 0);
  const { open: numbers, sessions } = await pulled(main);
  ensure(numbers.join() === "3" && sessions === 1, `the main streams of ${numbers.join()} are pulled, after ${sessions} sessions`);
  await goTo(page, `${framecast.url}/cameras/h265`);
  await until("a browser without H.265 shows the sub stream, and says so", async () => /^H\.264 video.*sub stream 320x180$/.test(await shownAs(page)));
  isQuiet(page);
}

export const checks = [{ name: "video-sub", needs: ["chromium", "ffmpeg"], run: sub }];
