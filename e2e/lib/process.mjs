// The programs that another program runs, as Linux lists them.

import { readdirSync, readFileSync } from "node:fs";

/** The names of the programs that the process `id` has started, and that run. */
export function childrenOf(id) {
  const processes = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return processes.flatMap((process) => {
    try {
      // In proc(5): the name in parentheses, the state, and the parent.
      const [, name, state, parent] = readFileSync(`/proc/${process}/stat`, "utf8").match(/^\d+ \((.*)\) (\S) (\d+) /s);
      return Number(parent) === id && state !== "Z" ? [name] : [];
    } catch {
      return [];
    }
  });
}
