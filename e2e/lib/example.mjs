// Starts an example program of the repository, which prints its address.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { EXAMPLES } from "./framecast.mjs";
import { until } from "./wait.mjs";

/** Runs `examples/NAME 127.0.0.1:0 …` until the check ends; returns the address of its page. */
export async function example(stage, name, ...args) {
  const program = path.join(EXAMPLES, name);
  if (!existsSync(program)) throw new Error(`there is no program at ${program}. Build it: cargo build --examples`);
  const child = spawn(program, ["127.0.0.1:0", ...args], { stdio: ["ignore", "pipe", "pipe"] });
  stage.defer(() => child.kill("SIGKILL"));
  let output = "";
  child.stdout.on("data", (bytes) => (output += bytes));
  child.stderr.on("data", (bytes) => (output += bytes));
  child.on("error", (error) => (output += error.message));
  const found = await until(`${name} prints its address`, () => /open (http:\/\/\S+?)\/?\s/.exec(output));
  return found[1];
}
