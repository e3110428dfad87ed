// Programs from PyPI, each in a virtual environment of its own under `.cache`, made the first time.

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const CACHE = fileURLToPath(new URL("../.cache/", import.meta.url));

// Some packages are compiled where there is no wheel for this machine.
const INSTALL_LIMIT_MS = 600000;

/** Path of `program` in the environment `name`, in which `packages` are, as pip names them. */
export function inVenv(name, packages, program) {
  const folder = path.join(CACHE, name);
  const wanted = packages.join("\n");
  const done = path.join(folder, "installed.txt");
  if (!existsSync(done) || readFileSync(done, "utf8") !== wanted) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(CACHE, { recursive: true });
    const run = (command, ...args) =>
      execFileSync(command, args, { stdio: ["ignore", "ignore", "pipe"], timeout: INSTALL_LIMIT_MS });
    run("python3", "-m", "venv", folder);
    run(path.join(folder, "bin", "pip"), "install", "--quiet", "--disable-pip-version-check", ...packages);
    writeFileSync(done, wanted);
  }
  return path.join(folder, "bin", program);
}

/** For a check's `lacking`, which its time limit does not count: installs, and says what cannot be. */
export function lackingInVenv(name, packages, program) {
  try {
    inVenv(name, packages, program);
    return [];
  } catch (error) {
    const why = String(error.stderr ?? error.message).trim().split("\n").at(-1);
    return [`${packages.join(", ")} (${why})`];
  }
}
