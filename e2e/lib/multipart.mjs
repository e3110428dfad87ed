// Reads a multipart stream byte by byte as the server sent it; only parts with a Content-Length.

import { createHash } from "node:crypto";
import http from "node:http";
import https from "node:https";

const HEADERS_END = Buffer.from("\r\n\r\n");

/** Splits a multipart body into parts `{ headers, data }`; feed it with `push`. */
export class Parts {
  #rest = Buffer.alloc(0);
  #onPart;

  constructor(onPart) {
    this.#onPart = onPart;
  }

  push(bytes) {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    for (;;) {
      const end = this.#rest.indexOf(HEADERS_END);
      if (end < 0) return;
      const headers = parseHeaders(this.#rest.subarray(0, end).toString("latin1"));
      const length = Number(headers["content-length"]);
      if (!(length > 0)) throw new Error(`a part without Content-Length: ${JSON.stringify(headers)}`);
      const from = end + HEADERS_END.length;
      if (this.#rest.length < from + length) return;
      this.#onPart({ headers, data: Buffer.from(this.#rest.subarray(from, from + length)) });
      this.#rest = this.#rest.subarray(from + length);
    }
  }
}

function parseHeaders(text) {
  const lines = text.split("\r\n").filter((line) => line !== "" && !line.startsWith("--"));
  return Object.fromEntries(
    lines.map((line) => [line.split(":")[0].trim().toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]),
  );
}

/**
 * Reads `url` until `onPart` returns true or `stop` is called; `done` settles at the end, or fails with the error.
 * `options` are further ones of the request.
 */
export function readStream(url, onPart, headers = {}, options = {}) {
  let stop;
  const done = new Promise((resolve, reject) => {
    const { get } = url.startsWith("https:") ? https : http;
    const request = get(url, { ...options, agent: false, headers }, (response) => {
      if (response.statusCode !== 200) return reject(new Error(`${url} answered ${response.statusCode}`));
      const parts = new Parts((part) => {
        if (onPart(part)) stop();
      });
      response.on("data", (bytes) => {
        try {
          parts.push(bytes);
        } catch (error) {
          reject(error);
          request.destroy();
        }
      });
      response.on("error", () => resolve());
      response.on("close", () => resolve());
    });
    request.on("error", reject);
    stop = () => {
      resolve();
      request.destroy();
    };
  });
  // A caller that does not wait for the end may ignore an error.
  done.catch(() => {});
  return { done, stop: () => stop() };
}

/** Width and height in pixels from a JPEG's frame header. */
export function jpegSize(data) {
  let at = 2;
  while (at + 9 < data.length) {
    if (data[at] !== 0xff) throw new Error(`byte ${at} of a JPEG: no marker`);
    const marker = data[at + 1];
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      return { width: data.readUInt16BE(at + 7), height: data.readUInt16BE(at + 5) };
    }
    at += 2 + data.readUInt16BE(at + 2);
  }
  throw new Error("a JPEG without a frame header");
}

export const digest = (data) => createHash("sha256").update(data).digest("hex");
