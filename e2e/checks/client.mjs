// Programs with which people read streams: ffmpeg, curl and OpenCV get whole pictures of the right size.

import { readWithCurl, readWithFfmpeg, readWithOpenCv } from "../lib/clients.mjs";
import { readStream } from "../lib/multipart.mjs";
import { lackingOpenCv } from "../lib/tool.mjs";
import { until } from "../lib/wait.mjs";

const SIZE = { width: 640, height: 360 };

/** A server whose camera is live already, so no client gets the slate that says "opening". */
async function liveFeed(stage) {
  const framecast = await stage.framecast([`front=test:?size=${SIZE.width}x${SIZE.height}&fps=25`]);
  const feed = `${framecast.url}/video_feed`;
  const holder = readStream(feed, () => false);
  stage.defer(() => holder.stop());
  await until("the camera is live", async () => (await framecast.camera("front")).state === "live");
  return feed;
}

export const checks = [
  { name: "ffmpeg-client", needs: ["ffmpeg"], run: async (stage) => readWithFfmpeg(await liveFeed(stage), SIZE) },
  { name: "curl-client", needs: ["curl"], run: async (stage) => readWithCurl(stage, await liveFeed(stage), SIZE) },
  { name: "opencv-client", needs: ["python3"], lacking: lackingOpenCv, run: async (stage) => readWithOpenCv(await liveFeed(stage), SIZE) },
];
