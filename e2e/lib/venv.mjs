// Programs from PyPI, each in a virtual environment of its own under `.cache`, created the first time. `uv`, also from
// PyPI, installs them: pip takes minutes for Home Assistant.

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const CACHE = fileURLToPath(new URL("../.cache/", import.meta.url));

// Some packages are compiled if there is no wheel for this machine.
const INSTALL_LIMIT_MS = 600000;

function run(command, ...args) {
  execFileSync(command, args, { stdio: ["ignore", "ignore", "pipe"], timeout: INSTALL_LIMIT_MS });
}

/** Path of `program` in the environment `name`, which `install` fills with `packages` unless they are there. */
function filled(name, packages, program, install) {
  const folder = path.join(CACHE, name);
  const wanted = packages.join("\n");
  const done = path.join(folder, "installed.txt");
  if (!existsSync(done) || readFileSync(done, "utf8") !== wanted) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(CACHE, { recursive: true });
    run("python3", "-m", "venv", folder);
    install(path.join(folder, "bin"));
    writeFileSync(done, wanted);
  }
  return path.join(folder, "bin", program);
}

/** Path of `uv`; each lane has its own, because two may need it at once. */
function uv() {
  const packages = ["uv"];
  const name = `uv-${process.env.FRAMECAST_LANE ?? 0}`;
  return filled(name, packages, "uv", (bin) =>
    run(path.join(bin, "pip"), "install", "--quiet", "--disable-pip-version-check", ...packages));
}

/** Path of `program` in the environment `name`, which contains `packages`, as pip names them. */
export function inVenv(name, packages, program) {
  return filled(name, packages, program, (bin) =>
    run(uv(), "pip", "install", "--quiet", "--python", path.join(bin, "python3"), ...packages));
}

/**
 * Path of `program` in the environment `name`, which contains `packages`, even if those ask for a newer Python. `uv`
 * would refuse them.
 */
export function asIfNewPython(name, packages, program) {
  return filled(name, packages, program, (bin) =>
    run(path.join(bin, "pip"), "install", "--quiet", "--disable-pip-version-check", "--ignore-requires-python", ...packages));
}

function lacking(packages, install) {
  try {
    install();
    return [];
  } catch (error) {
    const why = String(error.stderr ?? error.message).trim().split("\n").at(-1);
    return [`${packages.join(", ")} (${why})`];
  }
}

/**
 * For a check's `lacking`, which does not count towards its time limit: installs, and returns what cannot be installed.
 */
export function lackingInVenv(name, packages, program) {
  return lacking(packages, () => inVenv(name, packages, program));
}

/** What [lackingInVenv] returns, for [asIfNewPython]. */
export function lackingForNewPython(name, packages, program) {
  return lacking(packages, () => asIfNewPython(name, packages, program));
}
