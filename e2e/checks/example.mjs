// The clients in `docs/live.md`, as written there except for the server's address.

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { moves, open } from "../lib/browser.mjs";
import { freePort } from "../lib/framecast.mjs";
import { inVenv, lackingInVenv } from "../lib/venv.mjs";
import { ensure, until } from "../lib/wait.mjs";

const DOCUMENT = new URL("../../docs/live.md", import.meta.url);
const SERVER = "http://127.0.0.1:5000";
const ORIGIN = "http://localhost:8000";
const PYTHON = ["live-client", ["websockets"], "python"];

/** The only block of this language, with `names` replaced by their values. */
function block(language, names) {
  const [, code] = readFileSync(DOCUMENT, "utf8").split(`\`\`\`${language}\n`);
  let text = code.split("```")[0];
  for (const [before, after] of names) {
    ensure(text.includes(before), `the ${language} block of the document does not contain ${before}`);
    text = text.replace(before, after);
  }
  return text;
}

function fileOf(stage, name, text) {
  const folder = mkdtempSync(path.join(tmpdir(), "framecast-live-"));
  stage.defer(() => rmSync(folder, { recursive: true }));
  writeFileSync(path.join(folder, name), text);
  return path.join(folder, name);
}

async function inAPage(stage, name) {
  const port = await freePort();
  const server = [SERVER, `http://127.0.0.1:${port}`];
  const shown = await stage.page(block("html", [server]));
  const missing = await stage.page(block("html", [server, ['"camera"', '"none"']]));
  const origins = [shown, missing].map((address) => new URL(address).origin);
  const config = fileOf(stage, "framecast.toml", block("toml", [[`"${ORIGIN}"`, origins.map((origin) => `"${origin}"`).join(", ")]]));
  await stage.framecast(["--config", config], port);
  const browser = await stage.browser(name);
  const page = await open(browser, shown);
  await moves(page, "body");
  await until("the canvas is 640 pixels wide", () => page.evaluate(() => document.querySelector("canvas").width === 640));
  const other = await open(browser, missing);
  const told = () => other.$eval("#news", (element) => element.textContent);
  await until("the page says that there is no such camera", async () => (await told()).startsWith("unknown camera `none`"));
  const stranger = await open(browser, await stage.page(block("html", [server])));
  await until("the server refuses a page of another origin", () =>
    stranger.$eval("#news", (element) => element.textContent === "The connection has ended: 1006"),
  );
}

function run(stage, script) {
  const child = spawn(inVenv(...PYTHON), [script], { stdio: ["ignore", "pipe", "pipe"] });
  stage.defer(() => child.kill("SIGKILL"));
  const said = { out: "", err: "", code: null };
  child.stdout.on("data", (bytes) => (said.out += bytes));
  child.stderr.on("data", (bytes) => (said.err += bytes));
  child.on("exit", (code) => (said.code = code));
  return said;
}

async function inPython(stage) {
  const framecast = await stage.framecast();
  const server = [SERVER, framecast.url];
  const shown = run(stage, fileOf(stage, "client.py", block("python", [server])));
  await until("five pictures", () => {
    ensure(shown.code === null, `the client ended: ${shown.err}`);
    return /picture 5, \d+ bytes, \d+ ms old/.test(shown.out);
  });
  const missing = run(stage, fileOf(stage, "client.py", block("python", [server, ['"camera"', '"none"']])));
  await until("the client ends", () => missing.code !== null);
  ensure(missing.code === 1 && missing.err.startsWith("unknown camera `none`"), `the client ends with ${missing.code}: ${missing.err}`);
}

export const checks = [
  { name: "live-client-chromium", needs: ["chromium"], run: (stage) => inAPage(stage, "chromium") },
  { name: "live-client-firefox", needs: ["firefox-esr"], run: (stage) => inAPage(stage, "firefox") },
  { name: "live-client-python", needs: ["python3"], lacking: () => lackingInVenv(...PYTHON), run: inPython },
];
