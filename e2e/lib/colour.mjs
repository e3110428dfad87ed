// The colours of a JPEG, as ffmpeg decodes it.

import { spawn } from "node:child_process";

/** Decodes a JPEG to `{ width, height, rgb }`, three bytes a pixel; fails if ffmpeg reports a problem. */
export function decode(jpeg, { width, height }) {
  const input = ["-v", "error", "-xerror", "-f", "mjpeg", "-i", "-"];
  const args = [...input, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"];
  return new Promise((resolve, reject) => {
    const child = spawn("ffmpeg", args, { stdio: ["pipe", "pipe", "pipe"] });
    const chunks = [];
    let complaint = "";
    child.stdout.on("data", (bytes) => chunks.push(bytes));
    child.stderr.on("data", (bytes) => (complaint += bytes));
    // Its exit status says more than a closed pipe.
    child.stdin.on("error", () => {});
    child.on("error", reject);
    child.on("close", (code) => {
      const rgb = Buffer.concat(chunks);
      const fail = (message) => reject(new Error(message));
      if (code !== 0 || complaint) return fail(`ffmpeg cannot decode a picture: ${complaint.trim() || code}`);
      if (rgb.length !== width * height * 3) return fail(`${rgb.length} bytes of pixels instead of ${width}x${height}`);
      resolve({ width, height, rgb });
    });
    child.stdin.end(jpeg);
  });
}

/** Mean red, green and blue, each 0 to 255, of the pixels from `left`, `top` up to `right`, `bottom`. */
export function meanColour({ width, height, rgb }, { left = 0, top = 0, right = width, bottom = height } = {}) {
  const sums = [0, 0, 0];
  for (let y = top; y < bottom; y += 1) {
    for (let x = left; x < right; x += 1) {
      for (let channel = 0; channel < 3; channel += 1) sums[channel] += rgb[(y * width + x) * 3 + channel];
    }
  }
  return sums.map((sum) => sum / ((right - left) * (bottom - top)));
}

/** The luma of a colour, 0 to 255, by JPEG's formula. */
export const luma = ([red, green, blue]) => 0.299 * red + 0.587 * green + 0.114 * blue;
