/** Requests and answers as a gateway hands them to a dialect. */

import assert from 'node:assert/strict';
import { RequestMalformed } from '../../src/core/errors.ts';
import type { DialectRequest, Reading } from '../../src/core/ports/dialect.ts';
import type { Measured } from '../../src/core/work.ts';
import type { DialectOptions } from '../../src/upstreams/dialect-options.ts';
import { dialectFor } from '../../src/upstreams/index.ts';
import { TEST_TOKENIZER } from '../support/model-conduct.ts';

export const CHAT = '/v1/chat/completions';
export const CAP = 1_000;

export function requestOf(path: string, body: unknown, headers: string[] = []): DialectRequest {
  const isBytes = body instanceof Uint8Array;
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return {
    ...{ method: 'POST', path, query: 'q=1', outputTokensMax: CAP },
    headers: isBytes ? headers : ['content-type', 'application/json', ...headers],
    body: isBytes ? body : Buffer.from(text),
  };
}

/** Reads with the tokenizer of the tests. */
export function read(
  path: string,
  body: unknown,
  options: Partial<DialectOptions> = {},
  headers: string[] = [],
): Reading {
  const all = { tokenizer: TEST_TOKENIZER, ...options };
  return dialectFor(path, null, all).read(requestOf(path, body, headers));
}

/** The message of the refusal; fails if there is none. */
export function refusalOf(
  path: string,
  body: unknown,
  options: Partial<DialectOptions> = {},
  headers: string[] = [],
): string {
  try {
    read(path, body, options, headers);
  } catch (error) {
    if (error instanceof RequestMalformed) return error.message;
    throw error;
  }
  assert.fail(`accepted: ${JSON.stringify(body)?.slice(0, 200)}`);
}

export function bodyOf(reading: Reading): string {
  return Buffer.from(reading.body).toString('utf8');
}

export interface Metered {
  readonly out: Buffer;
  readonly measured: Measured;
  /** Chunks that left as the very same object. */
  readonly untouched: number;
}

/** Lets an answer pass in pieces, which begin at these places. */
export function passThrough(
  reading: Reading,
  answer: Uint8Array,
  cuts: readonly number[] = [],
  headers: readonly string[] = ['content-type', 'text/event-stream'],
): Metered {
  const meter = reading.meter({ status: 200, headers });
  const places = [...new Set([0, ...cuts.filter((at) => at < answer.length), answer.length])];
  places.sort((a, b) => a - b);
  const out: Uint8Array[] = [];
  let untouched = 0;
  for (const [at, from] of places.slice(0, -1).entries()) {
    const chunk = answer.subarray(from, places[at + 1]);
    const left = meter.pass(chunk);
    if (left === chunk) untouched++;
    if (left) out.push(left);
  }
  const rest = meter.end();
  if (rest) out.push(rest);
  return { out: Buffer.concat(out), measured: meter.measured(), untouched };
}

export function sse(events: readonly unknown[], lineEnd = '\n'): Buffer {
  const texts = events.map((one) => (typeof one === 'string' ? one : JSON.stringify(one)));
  return Buffer.from(texts.map((text) => `data: ${text}${lineEnd}${lineEnd}`).join(''));
}

export const JSON_ANSWER = ['content-type', 'application/json'];
