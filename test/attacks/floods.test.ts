/**
 * Attacks that are cheap for those who make them: floods of unpaid requests, clients that send by the drop, guesses at
 * keys. None of them may cost rows, memory or the places of others.
 *
 * More of them: attacks/free-tier (made-up addresses), request/rate-limits, attacks/client-leaves (slow readers).
 */

import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { after, before, describe, it } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Exchange } from '../../src/core/exchange.ts';
import type { Ledger } from '../../src/core/ports/ledger.ts';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { newApiKey } from '../../src/rails/prepaid/protocol.ts';
import { createPrepaidRail } from '../../src/rails/prepaid/server.ts';
import { serveNode } from '../../src/serve/node.ts';
import { freshFolder, openInThread } from '../ledger/fixture.ts';
import { exchangeOf } from '../rails/x402-fixture.ts';
import { attackedGateway, countEach } from '../support/attacked-gateway.ts';
import { routeOf } from '../support/route-of.ts';
import { startUpstream } from '../support/start-upstream.ts';
import { createKey, rawClient, stage } from './fixture.ts';

let chain: EvmDevnet;
before(async () => {
  chain = await startEvmDevnet({ accountsCount: 30 });
});
after(() => chain.close());

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function heapBytes(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

describe('a flood of requests that nobody pays', () => {
  it('is answered with prices for so many a minute and one address, then 429; it leaves no row', async (t) => {
    const s = await attackedGateway(t, chain, { over: { limits: { unpaidPerMinute: 100 } } });
    const all = await Promise.all(Array.from({ length: 150 }, () => s.call('/echo')));
    assert.deepEqual(countEach(all.map(({ status }) => status)), { 402: 100, 429: 50 });
    for (const { status, headers, text } of all)
      if (status === 429) {
        assert.match(headers.get('retry-after') ?? '', /^\d+$/);
        assert.ok(text.length < 1_000, 'and the refusal is cheap');
      }
    assert.deepEqual(await s.payments(), []);
    assert.equal((await s.gateway.ledger.entries({ limit: 10 })).length, 2, 'only the top-up');
    assert.equal((await s.call('/echo', { 'x-api-key': s.key })).status, 200, 'who pays is served');
  });

  it('counts wrong payments like requests without any', async (t) => {
    const s = await attackedGateway(t, chain, { over: { limits: { unpaidPerMinute: 20 } } });
    const offer = await s.sign('/echo', { value: 1n });
    const wrong = { 'payment-signature': offer.v2 };
    const statuses = [];
    for (let i = 0; i < 30; i++) statuses.push((await s.call('/echo', wrong)).status);
    assert.deepEqual(countEach(statuses), { 402: 19, 429: 11 });
    assert.deepEqual(await s.payments(), []);
  });

  it('leaves nothing in memory: not for offers, nor for garbage, nor for wrong keys', async (t) => {
    const most = 1_000_000;
    const s = await attackedGateway(t, chain, {
      over: {
        limits: {
          unpaidPerMinute: most,
          requestsPerMinute: { ip: most, key: most, wallet: most },
        },
      },
    });
    const wrong = (await s.sign('/echo', { value: 1n })).v2;
    const kinds: readonly Record<string, string>[] = [
      {},
      { 'payment-signature': '!' },
      { 'payment-signature': wrong },
      { 'x-api-key': 'made up' },
    ];
    const ask = (target: string, headers: Record<string, string>): Exchange => ({
      ...exchangeOf(headers),
      target,
    });
    const flood = async (count: number, from: number): Promise<void> => {
      for (let i = from; i < from + count; i++) {
        const headers = kinds[i % kinds.length] ?? {};
        const { status } = await s.gateway.gateway.handle(
          ask(`/echo?n=${i}&${'x'.repeat(1_000)}`, headers),
        );
        assert.ok([400, 401, 402].includes(status), String(status));
      }
    };
    await flood(1_500, 0);
    const before = heapBytes();
    await flood(3_000, 10_000);
    const grown = heapBytes() - before;
    assert.ok(grown < 1_500_000, `${grown} bytes after 3,000 requests`);
  });
});

describe('clients that send by the drop', { concurrency: true }, () => {
  const head = (key: string, length: number): string =>
    `POST /echo HTTP/1.1\r\nHost: a\r\nx-api-key: ${key}\r\nContent-Length: ${length}\r\n`;

  it('are cut off when the time for a request is up, in the head as in the body, and hold nothing', async (t) => {
    const s = await attackedGateway(t, chain);
    const server = await serveNode(s.gateway.gateway, {
      ...{ host: '127.0.0.1', port: 0, headerBytes: 16_384, requestMs: 500 },
      ...{ trustProxy: [], publicUrl: null },
    });
    t.after(() => server.close());
    const [inHead, inBody] = [await rawClient(t, server.url), await rawClient(t, server.url)];
    inHead.send('POST /echo HTTP/1.1\r\nHost: a\r\nX-Slow: a');
    inBody.send(`${head(s.key, 100)}\r\nsome`);
    const drip = setInterval(() => {
      inHead.send('a');
      inBody.send('b');
    }, 50);
    t.after(() => clearInterval(drip));
    const ends = await Promise.all([inHead.rest(), inBody.rest()]);
    for (const end of ends) assert.match(end, /^(HTTP\/1\.1 408 .*[\s\S]*)?$/);
    assert.deepEqual(await s.payments(), []);
    assert.equal(s.upstream.calls('/echo'), 0);
    assert.equal(await s.keyBalance(), '$1');
  });

  it('in the head take no place from anybody', async (t) => {
    const s = await attackedGateway(t, chain, { over: { limits: { concurrency: 2 } } });
    for (let i = 0; i < 10; i++) {
      const slow = await rawClient(t, s.gateway.url);
      slow.send(`${head(s.key, 5)}X-Slow: `);
    }
    for (let i = 0; i < 5; i++)
      assert.equal((await s.call('/echo', { 'x-api-key': s.key })).status, 200);
  });

  it('in the body of a request without a credential take no place from anybody', async (t) => {
    const s = await attackedGateway(t, chain, { over: { limits: { concurrency: 2 } } });
    for (let i = 0; i < 10; i++) {
      const slow = await rawClient(t, s.gateway.url);
      slow.send('POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\na');
      await slow.until(/^HTTP\/1\.1 402/);
    }
    assert.equal((await s.call('/echo', { 'x-api-key': s.key })).status, 200);
  });

  it('in the body of a request with a made-up credential take no place from anybody', async (t) => {
    const s = await attackedGateway(t, chain, { over: { limits: { concurrency: 2 } } });
    const { key } = newApiKey('live', crypto.randomBytes);
    for (let i = 0; i < 2; i++) {
      const slow = await rawClient(t, s.gateway.url);
      slow.send(`${head(key, 5)}Expect: 100-continue\r\n\r\n`);
      await slow.until(/100 Continue|HTTP\/1\.1 4/);
    }
    assert.equal((await s.call('/echo', { 'x-api-key': s.key })).status, 200);
  });
});

describe('guesses at keys', () => {
  /** How a ledger in this thread answers each guess, and how often it compared secrets in constant time. */
  async function guessing(ledger: Ledger, guesses: readonly string[]) {
    const operations: string[] = [];
    const counting = new Proxy(ledger, {
      get(target, name, receiver) {
        const operation: unknown = Reflect.get(target, name, receiver);
        if (typeof operation !== 'function') return operation;
        return (...args: unknown[]) => {
          operations.push(String(name));
          return operation.apply(target, args);
        };
      },
    });
    const clock = { now: () => Date.now() };
    const options = { ledger: counting, clock, random: crypto.randomBytes, marginMs: 1_000 };
    const rail = createPrepaidRail(options);
    const route = routeOf('POST /summarize');
    const real = crypto.timingSafeEqual;
    let compared = 0;
    Reflect.set(crypto, 'timingSafeEqual', (...args: Parameters<typeof real>) => {
      compared += 1;
      return real(...args);
    });
    syncBuiltinESMExports();
    try {
      const seen: string[] = [];
      for (const guess of guesses) {
        const exchange = exchangeOf({ 'x-api-key': guess });
        const presented = rail.recognise(exchange);
        assert.ok(presented);
        compared = 0;
        operations.length = 0;
        const quote = { id: 'q', max: 1n } as never;
        const base = { route, quote, digest: '', exchange, owner: 'proc_test', nowMs: Date.now() };
        const outcome = await rail.authorize(presented, base).then(
          ({ outcome }) => outcome as string,
          (error: { code: string }) => error.code,
        );
        seen.push(`${outcome}, ${operations.join()}, ${compared} compared`);
      }
      return seen;
    } finally {
      Reflect.set(crypto, 'timingSafeEqual', real);
      syncBuiltinESMExports();
    }
  }

  it('cost one operation each, known id or not, and a wrong secret is compared in constant time wherever it differs', async (t) => {
    const { ledger } = await openInThread(`${freshFolder(t)}/ledger.db`);
    t.after(() => ledger.close());
    const { key } = await createKey(ledger);
    const secretAt = key.lastIndexOf('_') + 1;
    const changed = (at: number): string =>
      `${key.slice(0, at)}${key[at] === 'A' ? 'B' : 'A'}${key.slice(at + 1)}`;
    const known = [changed(secretAt), changed(secretAt + 10), changed(key.length - 1)];
    const unknown = [newApiKey('live', crypto.randomBytes).key, changed(secretAt - 5)];
    for (const seen of await guessing(ledger, [...known, ...known]))
      assert.equal(seen, 'key_unknown, holdPrepaid, 1 compared');
    for (const seen of await guessing(ledger, unknown))
      assert.match(seen, /^key_unknown, holdPrepaid, \d compared$/);
    // What can be no key at all is told by its form, which is no secret.
    assert.deepEqual(await guessing(ledger, ['cs_live_short']), ['key_unknown, , 0 compared']);
    assert.match((await guessing(ledger, [key]))[0] ?? '', /^granted, holdPrepaid, 1 compared$/);
  });

  it('all get the same answer, byte for byte, and leave nothing behind', async (t) => {
    const upstream = await startUpstream(t);
    const route = { upstream: 'api', price: '$0.01' };
    const s = await stage(t, upstream, { routes: { '* /echo': route } });
    const revoked = await createKey(s.gateway.ledger);
    await s.gateway.ledger.revokeKey(revoked.id, Date.now());
    const guesses = [
      newApiKey('live', crypto.randomBytes).key,
      `${s.key.slice(0, -1)}${s.key.endsWith('A') ? 'B' : 'A'}`,
      revoked.key,
    ];
    const seen = new Set<string>();
    for (const guess of guesses) {
      const response = await fetch(`${s.gateway.url}/echo`, { headers: { 'x-api-key': guess } });
      const headers = [...response.headers].filter(([name]) => name !== 'date');
      seen.add(JSON.stringify([response.status, headers, await response.text()]));
    }
    assert.equal(seen.size, 1, [...seen].join('\n'));
    assert.equal(upstream.calls('/echo'), 0);
    assert.deepEqual(await s.gateway.ledger.listPayments({ limit: 1 }), []);
  });
});
