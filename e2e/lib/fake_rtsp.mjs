// The fake RTSP camera of the testkit, as a program of its own, and the clips that it replays.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { EXAMPLES } from "./framecast.mjs";
import { stripFilter } from "./number.mjs";
import { within } from "./wait.mjs";

export const SIZE = { width: 640, height: 360 };
export const FPS = 25;
/** After this many frames, the clip begins again. */
export const CLIP_FRAMES = 200;
// A keyframe each four seconds, as many cameras send.
const GOP = 100;
export const GOP_MS = (GOP * 1000) / FPS;
const ENCODERS = {
  h264: ["-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-sc_threshold", "0"],
  h265: ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:bframes=0:scenecut=0"],
};

/** A file with colour bars and the number of each frame in H.264 or H.265; the check deletes it at its end. */
export function makeClip(stage, codec = "h264", size = SIZE) {
  const folder = mkdtempSync(path.join(tmpdir(), "framecast-clip-"));
  stage.defer(() => rmSync(folder, { recursive: true, force: true }));
  const clip = path.join(folder, `clip.${codec}`);
  const bars = `smptebars=size=${size.width}x${size.height}:rate=${FPS}`;
  const output = ["-frames:v", String(CLIP_FRAMES), "-pix_fmt", "yuv420p", ...ENCODERS[codec], "-g", String(GOP)];
  const strip = `format=yuv420p,${stripFilter(size)}`;
  execFileSync("ffmpeg", ["-v", "error", "-f", "lavfi", "-i", bars, "-vf", strip, ...output, "-f", codec === "h265" ? "hevc" : "h264", clip]);
  return clip;
}

export class FakeRtsp {
  #child;
  #lines;
  #clip;
  #count;
  #address = "127.0.0.1:0";

  /** Replays `clip` at `url`; with a `count`, as so many cameras. */
  static async start(stage, clip, count = 1) {
    const camera = new FakeRtsp();
    camera.#clip = clip;
    camera.#count = count;
    stage.defer(() => camera.kill());
    await camera.run();
    return camera;
  }

  get url() {
    return this.urlOf(0);
  }

  urlOf(number) {
    return `rtsp://${this.#address}/cam${number}`;
  }

  /** Starts it, again at the same address. */
  async run() {
    const program = path.join(EXAMPLES, "fake_rtsp");
    if (!existsSync(program)) throw new Error(`there is no program at ${program}. Build it: cargo build --workspace --examples`);
    this.#child = spawn(program, ["--file", this.#clip, "--cameras", String(this.#count), "--listen", this.#address], { stdio: ["pipe", "pipe", "inherit"] });
    this.#child.stdin.on("error", () => {});
    this.#lines = createInterface({ input: this.#child.stdout });
    this.#address = (await this.#line()).listening;
  }

  /** The frames that it has sent: `{ place, at }`, the place in the clip and the time in milliseconds since 1970. */
  sent() {
    this.#child.stdin.write("sent 0\n");
    return this.#line();
  }

  /** What each camera has counted: `open` and `sessions`, the sessions now and so far, among others. */
  counts() {
    this.#child.stdin.write("counts\n");
    return this.#line();
  }

  async #line() {
    const [line] = await within("an answer of the fake camera", once(this.#lines, "line"), 20000);
    return JSON.parse(line);
  }

  async kill() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exit = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await exit;
  }
}
