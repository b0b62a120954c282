/** Prices that change between the 402 and the payment, with the clients that payers have and a real chain. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { afterFirst402, CLIENTS, type Price, type PriceStage, priceStage } from './price-stage.ts';

let chain: EvmDevnet;
let nextPayer = 2;
/** Whether the chain's clock was put forward. */
let isAhead = false;
before(async () => {
  chain = await startEvmDevnet({ accountsCount: 60 });
});
after(() => chain.close());

const CENT = 10_000n;
const pay = (s: PriceStage, client: typeof fetch): Promise<Response> =>
  client(`${s.gateway.url}/echo`, { method: 'POST', body: 'hello' });

for (const [name, make] of CLIENTS) {
  test(`${name} pays the price it was shown, although a reload raised it meanwhile`, async (t) => {
    const s = await priceStage(t, chain, nextPayer++, '$0.01');
    const raised = afterFirst402(() => s.setPrice('$0.03'));
    const response = await pay(s, make(s, raised));
    assert.equal(response.status, 200, await response.clone().text());
    assert.equal(await s.paid(), CENT);
    assert.equal(await s.asked(), 3n * CENT);
    assert.equal((await pay(s, make(s, fetch))).status, 200);
    assert.equal(await s.paid(), 4n * CENT, 'a new request pays the new price');
  });

  test(`${name} is honoured until the grace is over, and then asked anew, with nothing taken`, async (t) => {
    const s = await priceStage(t, chain, nextPayer++, '$0.01');
    const inTime = afterFirst402(async () => {
      await s.setPrice('$0.03');
      s.skewMs = 13_000;
    });
    assert.equal((await pay(s, make(s, inTime))).status, 200);
    assert.equal(await s.paid(), CENT);

    await s.setPrice('$0.01');
    const tooLate = afterFirst402(async () => {
      await s.setPrice('$0.03');
      s.skewMs = 29_000;
    });
    const answers: number[] = [];
    const noting: typeof fetch = async (input, init) => {
      const response = await tooLate(input, init);
      answers.push(response.status);
      return response;
    };
    await pay(s, make(s, noting)).catch(() => {});
    assert.deepEqual(answers.slice(0, 2), [402, 402]);
    assert.equal(await s.paid(), answers.includes(200) ? 4n * CENT : CENT);
    assert.equal(s.upstream.calls('/echo'), answers.includes(200) ? 2 : 1);
  });

  test(`${name} pays the surge of its quote, not that of its payment`, async (t) => {
    const surge: Price = {
      ...{ per: { call: '$0.01' }, max: '$0.10' },
      surge: [{ aboveLoad: '50%', factor: 3 }],
    };
    const s = await priceStage(t, chain, nextPayer++, surge, { limits: { concurrency: 10 } });
    const crowd: Promise<Response>[] = [];
    const crowded = afterFirst402(async () => {
      for (let i = 0; i < 6; i++) crowd.push(fetch(`${s.gateway.url}/gate`));
      await s.upstream.seen('/gate', 6);
    });
    const response = await pay(s, make(s, crowded));
    assert.equal(response.status, 200, await response.clone().text());
    assert.equal(await s.paid(), CENT);
    assert.equal(await s.asked(), 3n * CENT);
    // And the other way round: what was quoted under load is paid without it.
    const empty = afterFirst402(async () => {
      s.upstream.open();
      for (const one of crowd) await (await one).text();
    });
    assert.equal((await pay(s, make(s, empty))).status, 200);
    assert.equal(await s.paid(), 4n * CENT);
    assert.equal(await s.asked(), CENT);
  });

  test(`${name} pays the price of the window in which it was quoted`, async (t) => {
    // The gateway's clock may leave the chain's by less than 30 s, and must pass a full minute.
    const second = Math.floor(Date.now() / 1000) % 60;
    if (second > 24 && second < 36 && !isAhead) {
      await chain.rpc('evm_increaseTime', [12]);
      await chain.rpc('evm_mine');
      isAhead = true;
    }
    const [from, to] = second <= 24 ? [-(second + 3), 1] : [0, 62 - second];
    const minute = Math.floor((Date.now() + to * 1000) / 60_000);
    const timeOf = (minutes: number): string =>
      new Date(minutes * 60_000).toISOString().slice(11, 16);
    const byTime: Price = {
      ...{ per: { call: '$0.01' }, max: '$0.10' },
      schedule: [{ from: timeOf(minute), to: timeOf(minute + 30), zone: 'UTC', factor: 2 }],
    };
    const quotes = { ttl: '60s' };
    const s = await priceStage(t, chain, nextPayer++, byTime, { quotes });
    s.skewMs = from * 1000;
    const later = afterFirst402(async () => {
      s.skewMs = to * 1000;
    });
    const response = await pay(s, make(s, later));
    assert.equal(response.status, 200, await response.clone().text());
    assert.equal(await s.paid(), CENT);
    assert.equal(await s.asked(), 2n * CENT);
  });
}
