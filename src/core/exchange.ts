/** One HTTP exchange in our own small shape: what comes in and what goes out, without Request or Response objects. */

/** Names and values in turn, as they were received: `['Host', 'a', 'Accept', 'b']`. */
export type HeaderList = readonly string[];

export type Body = AsyncIterable<Uint8Array>;

export interface Exchange {
  readonly method: string;
  /** The request target exactly as received, query included. */
  readonly target: string;
  readonly headers: HeaderList;
  /** The value of a header by its lower-case name; repeated ones are joined by `, `. */
  header(name: string): string | undefined;
  readonly body: Body | null;
  /** The whole body instead; null when it is larger than that. Rejects when it breaks off. */
  collect(bytesMax: number): Promise<Uint8Array | null>;
  readonly remote: Remote;
  /** Aborts when the client goes away. */
  readonly signal: Departure;
  /** Set for a WebSocket handshake that came in where one can be taken. */
  readonly upgrade?: Upgrade;
}

/** What a handshake asks for: after the answer 101, whose body is what leaves, both sides go on as they like. */
export interface Upgrade {
  /** What the client sends from then on, byte for byte. */
  readonly frames: Body;
  /** Aborts when the server stops. */
  readonly stopping: Departure;
  /** Gives up a client that takes nothing any more. */
  breakOff(): void;
}

/** What is used of an AbortSignal, which is one; making a real one for every request costs more than its parsing. */
export interface Departure {
  readonly aborted: boolean;
  addEventListener(type: 'abort', listener: () => void): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

/** Who is at the other end, after the trusted proxies were believed. */
export interface Remote {
  readonly address: string;
  readonly scheme: 'http' | 'https';
  /** Host and port that the client used, from `publicUrl`, a trusted forwarded header or `Host`. */
  readonly host: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: HeaderList;
  /** A whole body, a stream, or none. */
  readonly body: Uint8Array | Body | null;
  /** What is known only once the whole stream was read, for a transport that can still send it then. */
  readonly trailers?: Trailers;
}

/** Headers after the body. */
export interface Trailers {
  /** Announced before it. */
  readonly names: readonly string[];
  /** Names and values in turn; empty for a stream that did not end whole. */
  readonly values: () => HeaderList;
}

export function isStream(body: Answer['body']): body is Body {
  return body !== null && !(body instanceof Uint8Array);
}

/** The same list with the pairs for which `keep` is false left out; names arrive in lower case. */
export function filterHeaders(headers: HeaderList, keep: (name: string) => boolean): string[] {
  const kept: string[] = [];
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] as string;
    if (keep(name.toLowerCase())) kept.push(name, headers[i + 1] as string);
  }
  return kept;
}

export function findHeader(headers: HeaderList, lowerName: string): string | undefined {
  for (let i = 0; i + 1 < headers.length; i += 2)
    if ((headers[i] as string).toLowerCase() === lowerName) return headers[i + 1];
  return undefined;
}

/** Reads a stream to its end; null when it is larger than that. Rejects when it breaks off. */
export async function collectBody(body: Body | null, bytesMax: number): Promise<Uint8Array | null> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body ?? []) {
    bytes += chunk.length;
    if (bytes > bytesMax) return null;
    chunks.push(chunk);
  }
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}
