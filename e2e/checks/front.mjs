// The proxies in front of a camera's server on printers: nginx as Mainsail and Fluidd configure it, haproxy as OctoPi
// configures it. Framecast listens where mjpg-streamer did, only on this machine, and has no settings for them.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import { hostname, tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { moves, open, screenshot } from "../lib/browser.mjs";
import { freePort } from "../lib/framecast.mjs";
import { openMark, typeLabel } from "../lib/mark.mjs";
import { digest, jpegSize, readStream } from "../lib/multipart.mjs";
import { find } from "../lib/tool.mjs";
import { ensure, until } from "../lib/wait.mjs";

const SIZE = { width: 320, height: 240 };
const DOCUMENT = fileURLToPath(new URL("../../docs/compat.md", import.meta.url));
const CAMERA = `front=test:?size=${SIZE.width}x${SIZE.height}&fps=10`;

/** The lines that `docs/compat.md` requires for `proxy` to serve the page, in front of the server at `back`. */
function documented(proxy, back) {
  const [, text] = new RegExp("```" + proxy + "\n([^`]*)```").exec(readFileSync(DOCUMENT, "utf8"));
  return text.replace("5000", String(back));
}

// The upstream has a name of its own and no line sets Host, so nginx sends that name.
const NGINX = (folder, front, back) => `
daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log stderr;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  upstream mjpgstreamer1 {
    ip_hash;
    server 127.0.0.1:${back};
  }
  server {
    listen 127.0.0.1:${front};
    location /webcam/ {
      proxy_buffering off;
      postpone_output 0;
      proxy_ignore_headers X-Accel-Buffering;
      proxy_pass http://mjpgstreamer1/;
    }
    ${documented("nginx", `${back}/`).replace("location / ", "location /cams/ ")}
  }
}
`;

// It passes on the Host of the browser.
const HAPROXY = (_folder, front, back) => `
defaults
  mode http
  timeout connect 5s
  timeout client 1m
  timeout server 1m
frontend printer
  bind 127.0.0.1:${front}
  option forwardfor except 127.0.0.1
  acl is_webcam path_beg /webcam/
  use_backend camera if is_webcam
  default_backend framecast
backend camera
  http-request replace-path /webcam/(.*) /\\1
  server camera1 127.0.0.1:${back}
${documented("haproxy", back)}
`;

const PROXIES = {
  nginx: { write: NGINX, options: (folder, file) => ["-p", folder, "-c", file] },
  haproxy: { write: HAPROXY, options: (_folder, file) => ["-db", "-f", file] },
};

/** Starts the proxy called `name` in front of the server at `back`; returns its port. */
async function startProxy(stage, name, back) {
  const folder = mkdtempSync(path.join(tmpdir(), `framecast-${name}-`));
  stage.defer(() => rmSync(folder, { recursive: true, force: true }));
  const [front, file, { write, options }] = [await freePort(), path.join(folder, "proxy.conf"), PROXIES[name]];
  writeFileSync(file, write(folder, front, back));
  const child = spawn(find(name), options(folder, file), { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (bytes) => (said = (said + bytes).slice(-2000)));
  stage.defer(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, "exit");
    child.kill("SIGTERM");
    await exit;
  });
  await until(`${name} answers`, async () => {
    if (child.exitCode !== null) return true;
    return (await fetch(`http://127.0.0.1:${front}/`)).status > 0;
  });
  ensure(child.exitCode === null, `${name} did not start: ${said}`);
  return front;
}

/** One picture through the proxy at `port`, requested with `host` as Host. */
function snapshot(port, host) {
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port, path: "/webcam/?action=snapshot", headers: { Host: host }, agent: false };
    const request = http.get(options, async (response) => {
      const pieces = [];
      for await (const piece of response) pieces.push(piece);
      resolve({ status: response.statusCode, body: Buffer.concat(pieces) });
    });
    request.on("error", reject);
  });
}

function ensurePicture(what, data) {
  const { width, height } = jpegSize(data);
  ensure(width === SIZE.width && height === SIZE.height, `${what} is ${width}x${height}`);
}

async function asItComes(stage, name) {
  const framecast = await stage.framecast([CAMERA]);
  const port = await startProxy(stage, name, framecast.port);
  const pictures = [];
  const stream = readStream(`http://127.0.0.1:${port}/webcam/?action=stream`, ({ headers, data }) => {
    // While the camera opens, slates come.
    if (!("x-framecast-notice" in headers)) pictures.push(data);
    return pictures.length >= 5;
  });
  await stream.done;
  ensure(pictures.length >= 5, `only ${pictures.length} pictures arrived`);
  pictures.forEach((picture, n) => ensurePicture(`picture ${n + 1} of the stream`, picture));
  ensure(new Set(pictures.map(digest)).size === pictures.length, "a picture arrived twice");
  for (const host of [`127.0.0.1:${port}`, "octopi.local", "mainsail", hostname(), `${hostname().split(".")[0]}.local`, "printer.lan"]) {
    const { status, body } = await snapshot(port, host);
    ensure(status === 200, `the answer to a snapshot with Host ${host} is ${status}: ${body.toString("latin1").slice(0, 300)}`);
    ensurePicture(`the snapshot with Host ${host}`, body);
  }
  const browser = await stage.browser("chromium");
  const page = await open(browser, await stage.page(`<div id="here"><img src="http://localhost:${port}/webcam/?action=stream"></div>`));
  await moves(page, "#here");
  ensure(!framecast.log.includes("allowed_hosts"), "the server refused a request because of its Host");
}

/** The page behind a proxy with the lines of the documentation: a wall over one WebSocket, and a mark. */
async function wholePage(stage, name, prefix) {
  const framecast = await stage.framecast([CAMERA, CAMERA.replace("front", "yard")]);
  const port = await startProxy(stage, name, framecast.port);
  const page = await open(await stage.browser("chromium"), `http://localhost:${port}${prefix}`);
  await until("the page paints both cameras from one WebSocket", async () => (await page.$$(".tile canvas.seen")).length === 2);
  await openMark(page);
  await typeLabel(page, "seen through a proxy");
  await page.keyboard.press("Enter");
  await until("the server has the mark", async () => (await framecast.events({ kind: "mark" })).length === 1);
  const { viewers } = await (await fetch(`${framecast.url}/api/viewers`)).json();
  ensure(viewers.every(({ via }) => via === "live"), `viewers: ${JSON.stringify(viewers)}`);
}

/** A proxy that passes on an unknown name: the refusal says what to do, in words and as a picture. */
async function unknownName(stage) {
  const framecast = await stage.framecast([CAMERA]);
  const port = await startProxy(stage, "haproxy", framecast.port);
  const { status, body } = await snapshot(port, "cameras.example");
  ensure(status === 421 && body.includes("--allowed-host cameras.example"), `the answer is ${status}: ${body}`);
  await until("the log names the key", () => framecast.log.includes("add it to allowed_hosts"));
  const browser = await stage.browser("chromium", { flags: ["--host-resolver-rules=MAP cameras.example 127.0.0.1"] });
  const page = await open(browser, await stage.page(`<img id="here" src="http://cameras.example:${port}/webcam/?action=stream">`));
  const width = () => page.$eval("#here", (image) => image.naturalWidth);
  await until("the page shows the picture with the reason", async () => (await width()) === 640);
  await screenshot(page, stage.out("unknown-name.png"));
  const allowing = await stage.framecast(["--allowed-host", "cameras.example", CAMERA]);
  const allowed = await snapshot(await startProxy(stage, "haproxy", allowing.port), "cameras.example");
  ensure(allowed.status === 200, `with --allowed-host the answer is ${allowed.status}`);
}

export const checks = [
  { name: "front-nginx", needs: ["nginx", "chromium"], run: (stage) => asItComes(stage, "nginx") },
  { name: "front-haproxy", needs: ["haproxy", "chromium"], run: (stage) => asItComes(stage, "haproxy") },
  { name: "front-page-nginx", needs: ["nginx", "chromium"], run: (stage) => wholePage(stage, "nginx", "/cams/") },
  { name: "front-page-haproxy", needs: ["haproxy", "chromium"], run: (stage) => wholePage(stage, "haproxy", "/") },
  { name: "front-unknown-name", needs: ["haproxy", "chromium"], run: unknownName },
];
