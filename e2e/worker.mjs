// Runs checks one after the other, as messages from `run.mjs` request them. It is a process of its own, so that a check
// that waits for a program does not delay what another one measures.

import { all } from "./checks/all.mjs";
import { bootMachine, endMachine, Stage } from "./lib/stage.mjs";
import { find } from "./lib/tool.mjs";
import { sleep } from "./lib/wait.mjs";

const LIMIT_MS = 480000;
const END_LIMIT_MS = 10000;

// The check that is running.
let stage = new Stage("nothing");

async function runOne(check) {
  stage = new Stage(check.name);
  let timer;
  const limitMs = check.limitMs ?? LIMIT_MS;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`the check did not end within ${limitMs / 1000} s`)), limitMs);
  });
  const startedAt = Date.now();
  const told = [];
  let isOk = true;
  try {
    const note = await Promise.race([check.run(stage), limit]);
    const seconds = ((Date.now() - startedAt) / 1000).toFixed(1);
    told.push(`ok ${check.name} (${[note, `${seconds} s`].filter(Boolean).join(", ")})`);
  } catch (error) {
    isOk = false;
    told.push(`not ok ${check.name}: ${error.message}`);
    told.push(...(await stage.pages()));
    if (stage.logs) told.push(stage.logs.replaceAll(/^/gm, "  | "));
  } finally {
    clearTimeout(timer);
    told.push(...(await stage.end()));
  }
  return { isOk, text: told.join("\n") };
}

/** Runs the check called `name`: returns `{ isOk, text }`, or `{ missing }`, what it needs and is missing. */
async function perform(name) {
  const check = all.find((known) => known.name === name);
  const missing = check.needs.filter((program) => find(program) === null);
  if (missing.length === 0) missing.push(...(check.lacking?.() ?? []));
  return missing.length > 0 ? { missing } : runOne(check);
}

// Each check that needs the machine reports why it does not boot.
const boot = () => bootMachine().then(() => ({}), () => ({}));

/** Ends everything that was started here; a browser that hangs must not block this. */
async function end() {
  await Promise.race([stage.end(), sleep(END_LIMIT_MS)]);
  return endMachine();
}

process.on("message", async (message) => {
  if (message === "end") return process.send({ complaint: await end() }, () => process.exit(0));
  return process.send(message === "boot" ? await boot() : await perform(message.run));
});

// The terminal signals this process and its parent, which then tells this one to end.
for (const signal of ["SIGINT", "SIGHUP"]) process.on(signal, () => {});
process.once("disconnect", () => end().finally(() => process.exit(1)));
