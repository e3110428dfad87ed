// Runs the end-to-end checks: all of them, or those named, two at a time except for those that measure. `README.md`
// says what they need.

import { fork } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const WORKER = fileURLToPath(new URL("./worker.mjs", import.meta.url));
const LANES = 2;
const USAGE = `Usage: node run.mjs [OPTION…] [NAME…]

Runs the end-to-end checks that are named; \`vm\` names all checks in the virtual machine. Without a name, runs all
checks except those in the virtual machine.

  --allow-missing  pass even if a check cannot run because a program that it needs is not installed
  --list           print the names of the checks, and run none
  --when-told      boot the virtual machine, then wait for a line on standard input before the first check
  --help           print this text

FRAMECAST_BIN names the program to check; the default is target/release/framecast. README.md says what the checks need.`;

/** A process that runs one check at a time. */
class Lane {
  #number;
  #worker = null;
  #answer = () => {};

  constructor(number) {
    this.#number = number;
  }

  /** The worker's answer to `message`; `{ isOk: false, why }` when it ends instead. */
  ask(message) {
    this.#worker ??= this.#start();
    return new Promise((resolve) => {
      this.#answer = resolve;
      this.#worker.send(message);
    });
  }

  #start() {
    const env = { ...process.env, FRAMECAST_LANE: String(this.#number) };
    const worker = fork(WORKER, { env, stdio: ["ignore", "inherit", "inherit", "ipc"] });
    worker.on("message", (answer) => this.#answer(answer));
    worker.on("exit", (code, signal) => {
      this.#worker = null;
      this.#answer({ isOk: false, why: `the worker process ended with ${signal ?? code}` });
    });
    return worker;
  }

  /** Stops the virtual machine that was booted here, and the process. */
  async end() {
    if (this.#worker === null) return;
    const exit = once(this.#worker, "exit");
    const { complaint } = await this.ask("end");
    if (complaint) console.log(`  cleanup failed: ${complaint}`);
    await exit;
  }
}

/** The command line; `--help` and a wrong option end the program here. */
function parseCommandLine() {
  const options = {
    "allow-missing": { type: "boolean" },
    help: { type: "boolean" },
    list: { type: "boolean" },
    "when-told": { type: "boolean" },
  };
  try {
    const { values, positionals } = parseArgs({ allowPositionals: true, options });
    if (!values.help) return { values, positionals };
    console.log(USAGE);
    process.exit(0);
  } catch (error) {
    console.error(`${error.message}\nFor the options, run: node run.mjs --help`);
    process.exit(2);
  }
}

const { values, positionals } = parseCommandLine();
// Not before: the checks need packages of npm, and the help text does not.
const { all, here, inVm } = await import("./checks/all.mjs");
const lanes = Array.from({ length: LANES }, (_, number) => new Lane(number));
const counts = { passed: 0, failed: 0 };

// Otherwise a virtual machine that is left running would end itself only after minutes.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.once(signal, () => Promise.all(lanes.map((lane) => lane.end())).finally(() => process.exit(130)));
}

function read() {
  const names = positionals.flatMap((name) => (name === "vm" ? inVm.map((check) => check.name) : [name]));
  const unknown = names.filter((name) => !all.some((check) => check.name === name));
  if (unknown.length > 0) {
    console.error(`unknown check: ${unknown.join(", ")}. The checks are: vm, ${all.map((check) => check.name).join(", ")}`);
    process.exit(2);
  }
  const chosen = names.length === 0 ? (values.list ? all : here) : all.filter((check) => names.includes(check.name));
  return { chosen, mayMiss: values["allow-missing"] === true, isList: values.list === true, isTold: values["when-told"] === true };
}

/** Prints the result of a check, all of it at once. */
function tell(check, { isOk, text, why, missing }, mayMiss) {
  if (!missing) {
    console.log(text ?? `not ok ${check.name}: ${why}`);
    counts[isOk ? "passed" : "failed"] += 1;
    return;
  }
  const isError = process.env.CI === "true";
  console.log(`${isError ? "not ok" : "not run:"} ${check.name}: ${missing.join(" and ")} not installed`);
  if (isError || !mayMiss) counts.failed += 1;
}

/** Runs `checks`, each in the next free one of `among`. */
async function runAll(checks, among, mayMiss) {
  const left = [...checks];
  const work = async (lane) => {
    for (let check = left.shift(); check; check = left.shift()) tell(check, await lane.ask({ run: check.name }), mayMiss);
  };
  await Promise.all(among.map(work));
}

/** Boots the virtual machine, and waits until a line comes on standard input; false when that ends instead. */
async function untilTold() {
  const line = once(createInterface({ input: process.stdin }), "line").then(() => true);
  const end = once(process.stdin, "end").then(() => false);
  const [isTold] = await Promise.all([Promise.race([line, end]), lanes[0].ask("boot")]);
  return isTold;
}

async function main() {
  const { chosen, mayMiss, isList, isTold } = read();
  if (isList) return console.log(chosen.map((check) => check.name).join("\n"));
  if (!isTold || (await untilTold())) {
    await runAll(chosen.filter((check) => !check.isAlone), lanes, mayMiss);
    await runAll(chosen.filter((check) => check.isAlone), lanes.slice(0, 1), mayMiss);
    console.log(`${counts.passed} passed, ${counts.failed} failed`);
  }
  await Promise.all(lanes.map((lane) => lane.end()));
  process.exit(counts.failed === 0 && counts.passed > 0 ? 0 : 1);
}

await main();
