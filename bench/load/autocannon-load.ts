/** Autocannon as a process of its own: takes a request as JSON, prints its result as JSON. */

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { LoadRequest, LoadResult } from './run-load.ts';

interface Client {
  setHeaders(headers: Readonly<Record<string, string>>): void;
  on(event: 'response', listener: () => void): void;
}

/** The part of autocannon that is used here; it ships no types. */
type Autocannon = (options: {
  readonly url: string;
  readonly method: string;
  readonly connections: number;
  readonly duration: number;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly setupClient: (client: Client) => void;
}) => Promise<{
  readonly requests: { readonly total: number };
  readonly duration: number;
  readonly latency: { readonly p50: number; readonly p99: number };
  readonly errors: number;
  readonly timeouts: number;
}>;

const autocannon = createRequire(import.meta.url)('autocannon') as Autocannon;
const request = JSON.parse(process.argv[2] ?? '') as LoadRequest;
const { prepared, headers } = request;
const values = prepared === undefined ? [] : readFileSync(prepared.file, 'utf8').trim().split('\n');
let at = 0;

const result = await autocannon({
  url: request.url,
  method: 'POST',
  connections: request.connections,
  duration: request.seconds,
  body: request.body,
  headers,
  setupClient(client) {
    if (prepared === undefined) return;
    const next = (): void =>
      client.setHeaders({ ...headers, [prepared.header]: values[at++ % values.length] ?? '' });
    next();
    client.on('response', next);
  },
});
const output: LoadResult = {
  requests: result.requests.total,
  seconds: result.duration,
  p50Ms: result.latency.p50,
  p99Ms: result.latency.p99,
  failures: result.errors + result.timeouts,
  exhausted: prepared !== undefined && at > values.length ? 1 : 0,
};
console.log(JSON.stringify(output));
