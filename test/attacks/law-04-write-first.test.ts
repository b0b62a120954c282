/**
 * Law 4: write before you speak. What would break it: an upstream, a facilitator, a node or a payer that hears of
 * something which is not on disk yet, for then a crash at that moment forgets what the outside knows.
 *
 * "On disk" is what another connection to the database sees. More attacks on it: rails/x402-settle (signed before it
 * is broadcast), ledger/durability (killed at any instant), gateway/kill, attacks/broken-inside, test/crash.
 */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, type TestContext, test } from 'node:test';
import type { Payment } from '../../src/core/payment.ts';
import type { Ledger } from '../../src/core/ports/ledger.ts';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { type AttackedGateway, attackedGateway, v2 } from '../support/attacked-gateway.ts';
import { type Conduct, startHostileFacilitator } from '../support/hostile-facilitator.ts';
import { startRelay } from '../support/node-relay.ts';

let chain: EvmDevnet;
before(async () => {
  chain = await startEvmDevnet({ accountsCount: 20 });
});
after(() => chain.close());

/** An upstream that looks at the ledger before it answers. */
async function curiousUpstream(t: TestContext, look: () => Promise<void>): Promise<string> {
  const server = createServer(async (_request, response) => {
    await look();
    response.end('product');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function onlyPayment(ledger: Ledger): Promise<Payment> {
  const [payment, ...others] = await ledger.listPayments({ limit: 5 });
  assert.ok(payment && others.length === 0, 'there is one payment');
  return payment;
}

for (const rail of ['prepaid', 'x402', 'free'] as const)
  test(`when the upstream hears of a ${rail} request, its payment is on disk, held and running`, async (t) => {
    const seen: Payment[] = [];
    const look = async () => void seen.push(await onlyPayment(s.gateway.ledger));
    const s: AttackedGateway = await attackedGateway(t, chain, {
      upstreamUrl: await curiousUpstream(t, look),
      ...(rail === 'free'
        ? { over: { payments: { free: { callsPerDay: 1 } } }, route: { free: true } }
        : {}),
    });
    const proofs = {
      prepaid: async () => ({ 'x-api-key': s.key }),
      x402: async () => v2(await s.sign('/echo')),
      free: async () => ({}),
    };
    const answer = await s.call('/echo', await proofs[rail]());
    assert.equal(answer.status, 200);
    assert.equal(seen.length, 1);
    assert.deepEqual([seen[0]?.state, seen[0]?.rail], ['running', rail]);
    assert.equal(seen[0]?.id, answer.headers.get('x-payment-id'));
  });

test('when a facilitator hears of a payment it is claimed on disk, and when it is to settle it, captured with its job', async (t) => {
  const seen: string[] = [];
  const looking: Conduct = async ({ honest, say, body }) => {
    const payment = await onlyPayment(s.gateway.ledger);
    const job = await s.gateway.ledger.findJob(payment.id);
    const kept = await s.gateway.ledger.findAnswer(payment.id);
    seen.push(`${payment.state}, ${kept ? 'answer' : 'no answer'}`);
    if (payment.state === 'captured') assert.ok(job, 'what is to be settled is written down');
    if (job) assert.ok(body.length > 0 && job.via === facilitator.url);
    say(await honest());
  };
  const facilitator = await startHostileFacilitator(t, { devnet: chain, account: 19 });
  const s: AttackedGateway = await attackedGateway(t, chain, {
    network: { settleWith: undefined, facilitator: facilitator.url },
  });
  facilitator.set('verify', looking);
  facilitator.set('settle', looking);
  assert.equal((await s.call('/echo', v2(await s.sign('/echo')))).status, 200);
  assert.deepEqual(seen, ['claimed, no answer', 'captured, answer']);
});

test('when a node hears of a transaction, that very transaction is on disk with its nonce', async (t) => {
  const sent: string[] = [];
  const relay = await startRelay(t, chain.rpcUrl, async ({ method, params }) => {
    if (method !== 'eth_sendRawTransaction') return;
    const payment = await onlyPayment(s.gateway.ledger);
    const job = await s.gateway.ledger.findJob(payment.id);
    sent.push(
      `${payment.state} ${job?.transaction?.raw === params[0] ? 'as stored' : 'not stored'}`,
    );
  });
  const s: AttackedGateway = await attackedGateway(t, chain, { network: { rpc: relay } });
  assert.equal((await s.call('/echo', v2(await s.sign('/echo')))).status, 200);
  assert.deepEqual(new Set(sent), new Set(['captured as stored']));
});

test('when the payer reads the first byte of an answer, the money and the answer are on disk', async (t) => {
  const s = await attackedGateway(t, chain);
  for (const proof of [{ 'x-api-key': s.key }, v2(await s.sign('/echo'))]) {
    const response = await fetch(`${s.gateway.url}/echo`, { headers: proof });
    const id = response.headers.get('x-payment-id') ?? '';
    assert.equal((await s.gateway.ledger.findPayment(id))?.state, 'settled');
    assert.ok(
      (await s.gateway.ledger.findAnswer(id)) ?? 'x-api-key' in proof,
      'kept for its payer',
    );
    await response.arrayBuffer();
  }
  const stream = await fetch(`${s.gateway.url}/sse-gate`, {
    headers: v2(await s.sign('/sse-gate')),
  });
  const id = stream.headers.get('x-payment-id') ?? '';
  assert.equal((await s.gateway.ledger.findPayment(id))?.state, 'settled');
  s.upstream.open();
  await stream.text();
});
