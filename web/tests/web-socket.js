// As much of a WebSocket client (RFC 6455) as a test needs to talk to Firefox: texts, and nothing else. Node has
// one of its own from version 22 on; Debian's is 18.

import { randomBytes } from "node:crypto";
import { request } from "node:http";

const TEXT = 1;
const CLOSE = 8;
const PING = 9;

/**
 * @param {string} url
 * @param {(text: string) => void} onText
 * @returns {Promise<{ send: (text: string) => void, close: () => void }>}
 */
export function connect(url, onText) {
  const headers = {
    Connection: "Upgrade",
    Upgrade: "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": randomBytes(16).toString("base64"),
  };
  return new Promise((resolve, reject) => {
    const asked = request(url.replace(/^ws/, "http"), { headers });
    asked.on("error", reject);
    asked.on("response", (response) => reject(new Error(`no WebSocket at ${url}: status ${response.statusCode}`)));
    asked.on("upgrade", (_, socket, head) => {
      let rest = head;
      /** @type {Buffer[]} */
      let parts = [];
      const take = () => {
        for (let frame = read(rest); frame; frame = read(rest)) {
          rest = frame.rest;
          if (frame.kind === CLOSE) return void socket.end();
          if (frame.kind === PING || frame.kind > CLOSE) continue;
          parts.push(frame.body);
          if (!frame.last) continue;
          const text = Buffer.concat(parts).toString();
          parts = [];
          onText(text);
        }
      };
      socket.on("data", (data) => {
        rest = Buffer.concat([rest, data]);
        take();
      });
      socket.on("error", () => {});
      resolve({ send: (text) => void socket.write(frame(text)), close: () => void socket.destroy() });
      take();
    });
    asked.end();
  });
}

/** @param {Buffer} bytes the first frame in them, if it is whole */
function read(bytes) {
  if (bytes.length < 2) return null;
  const short = bytes[1] & 0x7f;
  const start = short < 126 ? 2 : short === 126 ? 4 : 10;
  if (bytes.length < start) return null;
  const length = short < 126 ? short : short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
  const end = start + length;
  if (bytes.length < end) return null;
  const [last, kind] = [Boolean(bytes[0] & 0x80), bytes[0] & 0x0f];
  return { last, kind, body: bytes.subarray(start, end), rest: bytes.subarray(end) };
}

/** @param {string} text as one masked frame */
function frame(text) {
  const body = Buffer.from(text);
  const mask = randomBytes(4);
  return Buffer.concat([head(body.length), mask, body.map((byte, i) => byte ^ mask[i % 4])]);
}

/** @param {number} length in the fewest bytes: Firefox takes no more */
function head(length) {
  if (length < 126) return Buffer.from([0x80 | TEXT, 0x80 | length]);
  const bytes = Buffer.alloc(length < 65_536 ? 4 : 10);
  bytes[0] = 0x80 | TEXT;
  bytes[1] = 0x80 | (length < 65_536 ? 126 : 127);
  if (length < 65_536) bytes.writeUInt16BE(length, 2);
  else bytes.writeBigUInt64BE(BigInt(length), 2);
  return bytes;
}
