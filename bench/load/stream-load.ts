/** Reads event streams over raw sockets, one after the other on each connection, and looks at nothing but their ends. */

import { connect, type Socket } from 'node:net';

export interface StreamLoad {
  readonly url: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly connections: number;
}

export interface StreamsRead {
  readonly streams: number;
  readonly bytes: number;
  readonly seconds: number;
}

export interface FirstByte {
  /** From the request to the first event. */
  readonly sinceRequestMs: number;
  /** From its writing by the upstream to its arrival here. */
  readonly sinceUpstreamMs: number;
}

interface Seen {
  bytes: number;
  first: FirstByte | null;
}

/** Reads as much as it can in that time; streams that have begun are read to their end. Rejects on any other answer. */
export async function readStreams(load: StreamLoad, seconds: number): Promise<StreamsRead> {
  const startMs = performance.now();
  let [streams, bytes] = [0, 0];
  const worker = async (): Promise<void> => {
    while (performance.now() - startMs < seconds * 1000) {
      const seen = await readStream(load);
      bytes += seen.bytes;
      streams += 1;
    }
  };
  await Promise.all(Array.from({ length: load.connections }, worker));
  return { streams, bytes, seconds: (performance.now() - startMs) / 1000 };
}

/** Starts a stream every so often, whatever becomes of the others, and times the first event of each. */
export async function timeFirstBytes(
  load: StreamLoad,
  count: number,
  everyMs: number,
): Promise<FirstByte[]> {
  const reading: Promise<Seen>[] = [];
  for (let at = 0; at < count; at++) {
    reading.push(readStream(load));
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
  const seen = await Promise.all(reading);
  return seen.flatMap(({ first }) => (first === null ? [] : [first]));
}

const STATUS = Buffer.from('HTTP/1.1 200');
const END = /\r\n0\r\n(?:[^\r\n]+\r\n)*\r\n$/;

/** One stream on a connection of its own. Rejects unless it is a 200 that ends whole. */
export function readStream(load: StreamLoad): Promise<Seen> {
  const { url, path, headers, body } = load;
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const sentMs = performance.now();
    const seen: Seen = { bytes: 0, first: null };
    let tail: Buffer = Buffer.alloc(0);
    let sizedBytes = Number.NaN;
    const socket: Socket = connect({ host: hostname, port: Number(port), noDelay: true });
    socket.on('data', (chunk: Buffer) => {
      if (seen.bytes === 0 && !chunk.subarray(0, STATUS.length).equals(STATUS))
        return void socket.destroy(new Error(chunk.toString('latin1', 0, 600)));
      if (seen.bytes === 0) sizedBytes = sizeOf(chunk);
      seen.bytes += chunk.length;
      if (seen.first === null && seen.bytes < 10_000) seen.first = firstIn(chunk, sentMs);
      tail = chunk.length > 1_000 ? chunk : Buffer.concat([tail.subarray(-1_000), chunk]);
      const last = tail.toString('latin1', Math.max(0, tail.length - 600));
      if ((chunk[chunk.length - 1] === 0x0a && END.test(last)) || seen.bytes >= sizedBytes) {
        resolve(seen);
        socket.destroy();
      }
    });
    socket.on('error', reject);
    socket.on('close', () => reject(new Error(`${path} was cut after ${seen.bytes} bytes`)));
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(
      `POST ${path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n${lines.join('')}\r\n${body}`,
    );
  });
}

/** Head and body of an answer that states its length; NaN for one that streams. */
function sizeOf(head: Buffer): number {
  const text = head.toString('latin1');
  const length = /\r\ncontent-length: *(\d+)/i.exec(text)?.[1];
  return length === undefined ? Number.NaN : text.indexOf('\r\n\r\n') + 4 + Number(length);
}

function firstIn(chunk: Buffer, sentMs: number): FirstByte | null {
  const atMs = /at=([\d.]+);/.exec(chunk.toString('latin1'))?.[1];
  if (atMs === undefined) return null;
  const nowMs = performance.now();
  return {
    sinceRequestMs: nowMs - sentMs,
    sinceUpstreamMs: performance.timeOrigin + nowMs - Number(atMs),
  };
}
