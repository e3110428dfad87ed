// A database is killed while a table is read from it: every reader learns that the table is incomplete.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { alone } from "../lib/alone.mjs";
import { open, screenshot } from "../lib/browser.mjs";
import { lackingPostgres, Postgres } from "../lib/postgres.mjs";
import { inVenv, lackingInVenv } from "../lib/venv.mjs";
import { ensure, until, within } from "../lib/wait.mjs";

const ROWS = 300000;

// These rows make a CSV table of some 60 MB, which gzip hardly shrinks: more than the buffers on the way to a slow
// reader hold. Their ids are far above those that the server assigns meanwhile.
const FILL = `
INSERT INTO framecast.events (at, id, kind, camera, text, count)
  SELECT 1700000000000 + n, 1000000000 + n, 'lost', 'front', md5(n::text) || md5((-n)::text) || md5(n || 'a') || md5(n || 'b'), n
  FROM generate_series(1, ${ROWS}) AS n;
UPDATE framecast.state SET value = value + ${ROWS} WHERE key = 'rows'`;

const END_LIMIT_MS = 60000;

// The rate of a slow link in bytes a second.
const SLOW_BYTES = 1000000;


const REQUESTS = ["requests", ["requests==2.32.5"], "python3"];

function folderFor(stage) {
  const folder = mkdtempSync(path.join(tmpdir(), "framecast-broken-"));
  stage.defer(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A Framecast with many events in a database that can be killed. */
async function filled(stage, folder) {
  const postgres = await Postgres.start(stage);
  const config = path.join(folder, "site.toml");
  const lines = [`history = "${postgres.url}"`, 'history_max_age = "100y"', "[[camera]]", 'name = "front"', 'source = "emulated"'];
  writeFileSync(config, lines.join("\n"));
  const framecast = await stage.framecast(["--config", config]);
  await postgres.ask(FILL);
  return { postgres, framecast };
}

/**
 * The address of `port` behind a slow link, and `endAll`: only then does the link pass on that a connection has ended.
 * Chromium drops what it has not parsed when a connection breaks. So the server pauses between the last row and the
 * break, but the buffers of this link swallow that pause.
 */
async function slowLine(stage, port) {
  const closed = [];
  let letEnd;
  const mayEnd = new Promise((resolve) => (letEnd = resolve));
  const endAll = () => {
    letEnd();
    return within("the end of the connections", Promise.all(closed), END_LIMIT_MS);
  };
  const server = net.createServer((near) => {
    const far = net.connect(port, "127.0.0.1");
    near.pipe(far);
    far.on("data", (bytes) => {
      near.write(bytes);
      far.pause();
      setTimeout(() => far.resume(), (bytes.length / SLOW_BYTES) * 1000);
    });
    far.on("end", () => {
      closed.push(new Promise((resolve) => (near.destroyed ? resolve() : near.once("close", resolve))));
      mayEnd.then(() => near.end());
    });
    for (const [end, other] of [[near, far], [far, near]]) end.on("error", () => other.destroy());
    stage.defer(() => near.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  stage.defer(() => server.close());
  return { url: `http://127.0.0.1:${server.address().port}`, endAll };
}

/** The lines that `child` has written so far, and its exit code once it has ended. */
function told(child) {
  const state = { lines: [], code: null };
  let text = "";
  child.stdout.on("data", (bytes) => {
    text += bytes;
    state.lines = text.split("\n").slice(0, -1);
  });
  child.on("close", (code) => (state.code = code));
  return state;
}

async function curl(stage) {
  const folder = folderFor(stage);
  const { postgres, framecast } = await filled(stage, folder);
  const file = path.join(folder, "events.csv");
  const args = ["--silent", "--show-error", "--limit-rate", "4M", "--output", file, `${framecast.url}/api/events.csv`];
  const child = spawn("curl", args, { stdio: ["ignore", "ignore", "pipe"] });
  stage.defer(() => child.kill("SIGKILL"));
  let complaint = "";
  child.stderr.on("data", (bytes) => (complaint += bytes));
  const ended = once(child, "close");
  await until("curl has the first megabyte", () => statSync(file).size > 1 << 20, { everyMs: 20 });
  postgres.kill();
  const [code] = await ended;
  ensure(code === 18, `curl ends with ${code} instead of 18, its code for a partial file: ${complaint}`);
  ensure(statSync(file).size > 1 << 20, "curl deleted the part of the file that it had");
}

async function requests(stage) {
  const { postgres, framecast } = await filled(stage, folderFor(stage));
  const script = fileURLToPath(new URL("./requests_client.py", import.meta.url));
  for (const coding of ["identity", "gzip"]) {
    const args = [script, `${framecast.url}/api/events.csv`, coding];
    const child = spawn(inVenv(...REQUESTS), args, { stdio: ["pipe", "pipe", "inherit"] });
    stage.defer(() => child.kill("SIGKILL"));
    const state = told(child);
    await until("the Python client reads", () => state.lines.includes("reading") || state.code !== null);
    if (coding === "gzip") postgres.kill();
    // While the database is alive the table is complete: only the kill makes it incomplete.
    child.stdin.end("go on\n");
    await until("the Python client ends", () => state.code !== null, { withinMs: 60000 });
    const expected = coding === "gzip" ? "ChunkedEncodingError" : "whole";
    ensure(state.code === 0 && state.lines.at(-1) === expected, `with ${coding}: ${state.lines.join(" | ")}`);
  }
}

/** Reads a table in a page; `window.goOn()` lets it read on after its first megabyte. */
const READ = `new Promise((started) => {
  window.read = (async () => {
    const goOn = new Promise((done) => { window.goOn = done; });
    const response = await fetch("/api/events.csv");
    const reader = response.body.getReader();
    let bytes = 0;
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return "whole: " + bytes;
        bytes += value.length;
        if (bytes > 1 << 20) {
          started(bytes);
          await goOn;
        }
      }
    } catch (error) {
      return error.name;
    }
  })();
})`;

async function chromium(stage) {
  const { postgres, framecast } = await filled(stage, folderFor(stage));
  const browser = await stage.browser("chromium");
  const reader = await open(browser, `${framecast.url}/cameras/front`);
  await reader.evaluate(READ);
  const page = await browser.newPage();
  const { url, endAll } = await slowLine(stage, framecast.port);
  // The page loads until the connection breaks, which is an error of the load.
  page.goto(`${url}/history`).catch(() => {});
  const seen = () => page.evaluate(() => document.querySelectorAll(".events tbody tr[data-kind]").length);
  await until("the page shows rows while more arrive", async () => (await seen()) > 50, { everyMs: 20 });
  postgres.kill();
  await reader.evaluate("window.goOn()");
  const error = await reader.evaluate("window.read");
  ensure(error === "TypeError", `fetch ends with ${error} instead of TypeError`);
  const told = () => page.evaluate(() => document.querySelector(".events tr.broken")?.textContent);
  // The page first draws everything that was on its way.
  await until("the page says that its table is incomplete", told, { withinMs: 180000 });
  await endAll();
  const sentence = await told();
  ensure(/This table is incomplete: .+ Load the page again\./.test(sentence), sentence);
  const rows = await seen();
  ensure(rows > 50 && rows < ROWS, `the page has ${rows} rows`);
  await screenshot(page, stage.out("broken-chromium.png"));
  return `after ${rows} rows`;
}

export const checks = [
  { name: "broken-curl", needs: ["curl"], lacking: lackingPostgres, run: curl },
  // The page must have drawn everything that was on its way when the database was killed.
  alone({ name: "broken-chromium", needs: ["chromium"], lacking: lackingPostgres, limitMs: 480000, run: chromium }),
  { name: "broken-requests", needs: ["python3"], lacking: () => [...lackingPostgres(), ...lackingInVenv(...REQUESTS)], run: requests },
];
