// The proxies in front of a camera's server on printers: nginx as Mainsail and Fluidd configure it, haproxy as OctoPi
// configures it. Framecast listens where mjpg-streamer did, only on this machine, and has no settings for them.

import { hostname } from "node:os";
import { moves, open, screenshot } from "../lib/browser.mjs";
import { ask, startProxy } from "../lib/front.mjs";
import { digest, jpegSize, readStream } from "../lib/multipart.mjs";
import { ensure, until } from "../lib/wait.mjs";

const SIZE = { width: 320, height: 240 };
const CAMERA = `front=test:?size=${SIZE.width}x${SIZE.height}&fps=10`;

// The upstream has a name of its own and no line sets Host, so nginx sends that name.
const NGINX = (back) => (front) => `
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
  }
`;

// It passes on the Host of the browser.
const HAPROXY = (back) => (front) => `
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
backend camera
  http-request replace-path /webcam/(.*) /\\1
  server camera1 127.0.0.1:${back}
`;

const PRINTERS = { nginx: NGINX, haproxy: HAPROXY };

/** The proxy of a printer in front of `framecast`; returns its port. */
const startPrinter = async (stage, proxy, framecast) =>
  new URL(await startProxy(stage, proxy, PRINTERS[proxy](framecast.port))).port;

/** One picture through the proxy at `port`, requested with `host` as Host. */
const snapshot = (port, host) => ask(`http://127.0.0.1:${port}/webcam/?action=snapshot`, { headers: { Host: host } });

function ensurePicture(what, data) {
  const { width, height } = jpegSize(data);
  ensure(width === SIZE.width && height === SIZE.height, `${what} is ${width}x${height}`);
}

async function asItComes(stage, name) {
  const framecast = await stage.framecast([CAMERA]);
  const port = await startPrinter(stage, name, framecast);
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

/** A proxy that passes on an unknown name: the refusal says what to do, in words and as a picture. */
async function unknownName(stage) {
  const framecast = await stage.framecast([CAMERA]);
  const port = await startPrinter(stage, "haproxy", framecast);
  const { status, body } = await snapshot(port, "cameras.example");
  ensure(status === 421 && body.includes("--allowed-host cameras.example"), `the answer is ${status}: ${body}`);
  await until("the log names the key", () => framecast.log.includes("add it to allowed_hosts"));
  const browser = await stage.browser("chromium", { flags: ["--host-resolver-rules=MAP cameras.example 127.0.0.1"] });
  const page = await open(browser, await stage.page(`<img id="here" src="http://cameras.example:${port}/webcam/?action=stream">`));
  const width = () => page.$eval("#here", (image) => image.naturalWidth);
  await until("the page shows the picture with the reason", async () => (await width()) === 640);
  await screenshot(page, stage.out("unknown-name.png"));
  const allowing = await stage.framecast(["--allowed-host", "cameras.example", CAMERA]);
  const allowed = await snapshot(await startPrinter(stage, "haproxy", allowing), "cameras.example");
  ensure(allowed.status === 200, `with --allowed-host the answer is ${allowed.status}`);
}

export const checks = [
  { name: "front-nginx", needs: ["nginx", "chromium"], run: (stage) => asItComes(stage, "nginx") },
  { name: "front-haproxy", needs: ["haproxy", "chromium"], run: (stage) => asItComes(stage, "haproxy") },
  { name: "front-unknown-name", needs: ["haproxy", "chromium"], run: unknownName },
];
