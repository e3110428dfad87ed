// The description of all routes: schemathesis makes requests from `/api/openapi.json`, right ones and wrong ones, and
// compares the answers with what the document says. The page `/api` shows the document.

import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { open, screenshot } from "../lib/browser.mjs";
import { example } from "../lib/example.mjs";
import { inVenv, lackingInVenv } from "../lib/venv.mjs";
import { ensure, until } from "../lib/wait.mjs";

const SCHEMATHESIS = ["schemathesis", ["schemathesis==4.32.5"], "st"];
const HOOKS = fileURLToPath(new URL("./schemathesis_hooks.py", import.meta.url));
const CI_CASES = 300;

// What an answer must fulfil. The server may say that it does not offer something, or that a camera does not work.
const CHECKS = [
  "not_a_server_error",
  "status_code_conformance",
  "content_type_conformance",
  "response_headers_conformance",
  "response_schema_conformance",
  "negative_data_rejection",
  "positive_data_acceptance",
  "unsupported_method",
];

/** The configuration of schemathesis. Half of the requests name cameras that exist. */
const configuration = (cameras) => `
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 501, 503, 504]
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", "4xx", 501, 503, 504]
[dictionaries.cameras]
values = ${JSON.stringify(cameras)}
[dictionaries.inputs]
values = ["0.json", "1.json"]
[dictionaries.controls]
values = ["brightness", "speed", "nothing"]
[parameters]
"path.name" = { dictionary = "cameras", probability = 0.5 }
"query.src" = { dictionary = "cameras", probability = 0.5 }
"query.camera" = { dictionary = "cameras", probability = 0.5 }
"query.key" = { dictionary = "controls", probability = 0.5 }
[[operations]]
include-path = "/input_{file}"
parameters = { "path.file" = { dictionary = "inputs", probability = 0.5 } }
`;

function folderFor(stage) {
  const folder = mkdtempSync(path.join(tmpdir(), "framecast-openapi-"));
  stage.defer(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Runs schemathesis in `folder`, where it keeps its files; returns what it prints, and whether it found nothing. */
function schemathesis(stage, folder, args) {
  const options = { cwd: folder, env: { ...process.env, SCHEMATHESIS_HOOKS: HOOKS, NO_COLOR: "1" }, maxBuffer: 1 << 26 };
  return new Promise((resolve) => {
    const child = execFile(inVenv(...SCHEMATHESIS), args, options, (error, stdout, stderr) => {
      resolve({ isOk: error === null, output: stdout + stderr });
    });
    stage.defer(() => child.kill("SIGKILL"));
  });
}

/**
 * Sends about `cases` requests to the server at `url`, each with `headers`; returns how many, and fails with what
 * schemathesis found.
 */
async function compare(stage, { url, headers = {} }, cameras, cases) {
  const location = `${url}/api/openapi.json`;
  const { paths } = await (await fetch(location, { headers })).json();
  const operations = Object.values(paths).flatMap((item) => Object.values(item));
  const endless = operations.filter((operation) => operation["x-endless"]).map(({ operationId }) => operationId);
  ensure(endless.length > 0 && endless.length < 20, `${endless.length} operations have endless answers`);
  const folder = folderFor(stage);
  const config = path.join(folder, "schemathesis.toml");
  writeFileSync(config, configuration(cameras));
  const each = Math.ceil(cases / (operations.length - endless.length));
  const isLong = cases > CI_CASES;
  const { isOk, output } = await schemathesis(stage, folder, [
    "--config-file", config,
    "run", location, "--url", url,
    ...Object.entries(headers).flatMap(([name, value]) => ["--header", `${name}: ${value}`]),
    ...endless.flatMap((name) => ["--exclude-operation-id", name]),
    "--checks", CHECKS.join(","),
    "--phases", isLong ? "coverage,fuzzing" : "fuzzing",
    "--max-examples", String(each),
    // CI always sends the same requests. The report of a long run has its seed.
    ...(isLong ? ["--generation-database", "none"] : ["--generation-deterministic"]),
    "--request-timeout", "20",
    "--continue-on-failure",
    "--no-color",
  ]);
  ensure(isOk, `schemathesis found something at ${url}:\n${output.slice(-8000)}`);
  const sent = Number(/(\d+) generated/.exec(output)?.[1]);
  ensure(sent >= cases, `schemathesis sent ${sent} requests in place of ${cases}:\n${output.slice(-2000)}`);
  return sent;
}

/**
 * The program with a camera that works and one that does not, without an account and with one; and a program with a
 * camera that has controls.
 */
async function asDescribed(stage) {
  const cases = Number(process.env.FRAMECAST_CASES ?? CI_CASES);
  const cameras = ["front=test:?size=64x64&fps=10", "gone=images:/nonexistent"];
  const framecast = await stage.framecast(cameras);
  const withAccount = await stage.framecast(cameras, undefined, { password: "right password" });
  const { status } = await fetch(`${withAccount.url}/api/openapi.json`);
  ensure(status === 401, `without the login, the answer is ${status}`);
  const withControls = { url: await example(stage, "custom_driver", folderFor(stage)) };
  const third = Math.ceil(cases / 3);
  const sent = await Promise.all([
    compare(stage, framecast, ["front", "gone"], third),
    compare(stage, withAccount, ["front", "gone"], third),
    compare(stage, withControls, ["bars"], third),
  ]);
  return `${sent.join(" + ")} requests`;
}

/**
 * The start page leads to the page of the description. This lists every operation but HEAD and OPTIONS, finds by words,
 * and opens what it lists.
 */
async function shown(stage, name) {
  const framecast = await stage.framecast(["front=test:?size=64x64&fps=10"]);
  const { paths } = await (await fetch(`${framecast.url}/api/openapi.json`)).json();
  const named = (method) => !["head", "options"].includes(method);
  const expected = Object.values(paths).flatMap((item) => Object.keys(item)).filter(named).length;
  const browser = await stage.browser(name);
  const page = await open(browser, framecast.url);
  await page.click("a[href=api]");
  const rows = () => page.$$eval(".route", (all) => all.filter((row) => row.checkVisibility()).length);
  await until("the page lists all operations", async () => (await rows()) === expected);
  await page.type("#find", "patch controls");
  ensure((await rows()) === 1, `${await rows()} rows have the words`);
  await page.click(".route:not([hidden]) summary");
  // The page fills a row when its `toggle` event comes, which may be after the click returned.
  const row = () => page.$eval(".route:not([hidden])", (shown) => shown.innerText);
  for (const words of ["persist", "Whether to save the values", "422", "can_persist", "Everybody may use this"]) {
    await until(`the row of PATCH says "${words}"`, async () => (await row()).includes(words));
  }
  await screenshot(page, stage.out(`routes-${name}.png`));
}

export const checks = [
  { name: "openapi", needs: ["python3"], lacking: () => lackingInVenv(...SCHEMATHESIS), limitMs: 1800000, run: asDescribed },
  ...["chromium", "firefox"].map((browser) => ({
    name: `routes-${browser}`,
    needs: [browser === "firefox" ? "firefox-esr" : browser],
    run: (stage) => shown(stage, browser),
  })),
];
