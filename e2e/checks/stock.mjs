// The example of a long table: every row arrives, in little memory, and a browser can scroll through the rows so far.

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { open } from "../lib/browser.mjs";
import { EXAMPLES, freePort } from "../lib/framecast.mjs";
import { ensure, until } from "../lib/wait.mjs";

const ROWS = 1_000_000;
const MOST_KIB = 32 * 1024;
const EXAMPLE = path.join(EXAMPLES, "stock_table");

const shell = promisify(execFile);

async function start(stage) {
  ensure(existsSync(EXAMPLE), `there is no program at ${EXAMPLE}. Build it: cargo build --examples`);
  const folder = mkdtempSync(path.join(tmpdir(), "framecast-stock-"));
  const address = `127.0.0.1:${await freePort()}`;
  const child = spawn(EXAMPLE, [address, path.join(folder, "stock.db")], { stdio: "ignore" });
  stage.defer(async () => {
    const exit = once(child, "exit");
    child.kill("SIGKILL");
    await exit;
    rmSync(folder, { recursive: true });
  });
  await until("the example answers and its table is full", async () => {
    ensure(child.exitCode === null, `the example ended with ${child.exitCode}`);
    return (await fetch(`http://${address}/nothing`)).status === 404;
  }, { everyMs: 200 });
  return { url: `http://${address}`, peakKib: () => Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`))[1]) };
}

async function everyRow(stage) {
  const example = await start(stage);
  for (const [format, lines] of [["csv", ROWS + 1], ["ndjson", ROWS]]) {
    const { stdout } = await shell("sh", ["-c", `curl -s --fail ${example.url}/stock-table.${format} | wc -l`]);
    ensure(Number(stdout) === lines, `${format}: ${stdout.trim()} lines instead of ${lines}`);
  }
  const { stdout } = await shell("sh", ["-c", `curl -s --fail ${example.url}/stock-table | grep -o '<tr' | wc -l`]);
  ensure(Number(stdout) >= ROWS, `html: ${stdout.trim()} rows`);
  ensure(example.peakKib() < MOST_KIB, `the example took up to ${example.peakKib()} KiB of memory`);
}

async function scrolls(stage) {
  const example = await start(stage);
  const browser = await stage.browser("chromium");
  const page = await open(browser, "about:blank");
  // The navigation ends with the table, so the check does not wait for it.
  page.goto(`${example.url}/stock-table`).catch(() => {});
  const look = () =>
    page.evaluate(() => {
      scrollTo(0, 2000);
      return { y: scrollY, state: document.readyState, rows: document.getElementsByTagName("tr").length };
    });
  let seen = null;
  // Between the old page and the new one, there is no page to query.
  await until("the page scrolls through the first rows", async () => {
    seen = await look().catch(() => null);
    return seen?.y === 2000;
  }, { everyMs: 50 });
  ensure(seen.state === "loading" && seen.rows < ROWS, `the whole table arrived too early: ${seen.state}, ${seen.rows} rows`);
  let more = null;
  await until("more rows arrive", async () => (more = await look()).rows > seen.rows, { everyMs: 50 });
}

export const checks = [
  { name: "stock-table-curl", needs: ["curl"], run: everyRow },
  { name: "stock-table-chromium", needs: ["chromium"], run: scrolls },
];
