/** Remote facilitators: an honest one, and those that lie, hang, fail or die. */

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it, type TestContext } from 'node:test';
import { x402Facilitator } from '@x402/core/facilitator';
import { toFacilitatorEvmSigner } from '@x402/evm';
import { ExactEvmScheme } from '@x402/evm/exact/facilitator';
import { ExactEvmSchemeV1 } from '@x402/evm/exact/v1/facilitator';
import { createWalletClient, http, publicActions } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { base } from 'viem/chains';
import { PaymentRefused, RailUnavailable } from '../../src/core/errors.ts';
import type { Payment } from '../../src/core/payment.ts';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { decodeExactEvmPayload } from '../../src/rails/x402/protocol.ts';
import { send, sendTransfer } from '../chains/evm-payer.ts';
import {
  account,
  COST,
  type Desk,
  firstOffer,
  memoryLedger,
  openDesk,
  PAY_TO,
  signOffer,
} from './x402-fixture.ts';

let devnet: EvmDevnet;
before(async () => {
  devnet = await startEvmDevnet({ chainId: 8453 });
});
after(() => devnet.close());

/** Account that facilitators settle with. */
const SETTLER = 8;

interface Asked {
  readonly path: string;
  readonly body: string;
}

/** What a facilitator answers: status and JSON, `hang`, or `reset`. */
type Reply = readonly [number, object] | 'hang' | 'reset';
type Answers = Partial<Record<'verify' | 'settle', (body: string) => Reply | Promise<Reply>>>;

interface TestFacilitator {
  readonly url: string;
  readonly asked: readonly Asked[];
  of(path: string): readonly Asked[];
  close(): Promise<void>;
}

const SUPPORTED = {
  kinds: [{ x402Version: 2, scheme: 'exact', network: 'eip155:8453' }],
  ...{ extensions: [], signers: {} },
};
const VALID: Reply = [200, { isValid: true, payer: '0x' }];

async function facilitator(t: TestContext, answers: Answers = {}): Promise<TestFacilitator> {
  const asked: Asked[] = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const path = request.url ?? '';
    asked.push({ path, body });
    const reply = await replyOf(answers, path, body);
    if (reply === 'hang') return;
    if (reply === 'reset') return void response.destroy();
    response.writeHead(reply[0], { 'content-type': 'application/json' });
    response.end(JSON.stringify(reply[1]));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  t.after(close);
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    of: (path) => asked.filter((one) => one.path === path),
    close,
  };
}

async function replyOf(answers: Answers, path: string, body: string): Promise<Reply> {
  if (path === '/supported') return [200, SUPPORTED];
  if (path === '/verify') return (await answers.verify?.(body)) ?? VALID;
  return (await answers.settle?.(body)) ?? [200, { success: false, errorReason: 'unexpected' }];
}

/** The official facilitator, in this process. */
function official(): Required<Answers> {
  const client = createWalletClient({
    account: privateKeyToAccount(account(devnet, SETTLER).privateKey),
    chain: base,
    transport: http(devnet.rpcUrl),
    pollingInterval: 10,
  }).extend(publicActions);
  const signer = toFacilitatorEvmSigner({
    ...client,
    address: client.account.address,
    getCode: (args: object) => client.getCode(args as never),
  } as never);
  const schemes = new x402Facilitator()
    .register('eip155:8453', new ExactEvmScheme(signer))
    .registerV1('base' as never, new ExactEvmSchemeV1(signer));
  const parsed = (body: string) =>
    JSON.parse(body) as { paymentPayload: never; paymentRequirements: never };
  return {
    async verify(body) {
      const { paymentPayload, paymentRequirements } = parsed(body);
      return [200, await schemes.verify(paymentPayload, paymentRequirements)];
    },
    async settle(body) {
      const { paymentPayload, paymentRequirements } = parsed(body);
      return [200, await schemes.settle(paymentPayload, paymentRequirements)];
    },
  };
}

/** Puts the payment of a request on the chain, as a facilitator does. */
async function settleFor(body: string): Promise<string> {
  const { paymentPayload } = JSON.parse(body) as { paymentPayload: { payload: unknown } };
  const { signature, authorization } = decodeExactEvmPayload(paymentPayload.payload);
  return await sendTransfer(devnet, SETTLER, { ...authorization, signature });
}

const success = (transaction: string): Reply => [
  200,
  { success: true, transaction, network: 'eip155:8453', payer: '0x' },
];

async function deskOf(
  t: TestContext,
  answers: Answers,
  settleMs = 1_000,
): Promise<{ desk: Desk; remote: TestFacilitator }> {
  const remote = await facilitator(t, answers);
  const network = { facilitator: [remote.url] };
  return { remote, desk: await openDesk(t, devnet, { network, settleMs, resolveMs: settleMs }) };
}

async function granted(desk: Desk, version: 'v1' | 'v2' = 'v2'): Promise<Payment> {
  return await desk.grant(signOffer(await firstOffer(desk), account(devnet, 1))[version]);
}

async function income(work: () => Promise<unknown>): Promise<bigint> {
  const start = await devnet.usdcBalance(PAY_TO);
  await work();
  return (await devnet.usdcBalance(PAY_TO)) - start;
}

describe('the official facilitator', () => {
  for (const version of ['v1', 'v2'] as const)
    it(`verifies and settles ${version}, and the gas is not on our books`, async (t) => {
      const { desk, remote } = await deskOf(t, official(), 5_000);
      const got = await income(async () => {
        const settled = await desk.capture(await granted(desk, version));
        assert.equal(settled.state, 'settled', settled.reason ?? '');
        assert.match(settled.transaction ?? '', /^0x[0-9a-f]{64}$/);
      });
      assert.equal(got, COST);
      assert.equal(remote.of('/verify').length, 1);
      assert.equal(remote.of('/settle').length, 1);
      const gas = (await desk.ledger.balances()).filter(({ account: name }) => /gas/.test(name));
      assert.deepEqual(
        gas.filter(({ balance }) => balance !== 0n),
        [],
      );
      assert.deepEqual(await desk.ledger.audit(), []);
    });

  it('gets the same bytes to verify and to settle, without the quote', async (t) => {
    const { desk, remote } = await deskOf(t, official());
    await desk.capture(await granted(desk));
    const [verify, settle] = [remote.of('/verify')[0], remote.of('/settle')[0]];
    assert.equal(verify?.body, settle?.body);
    assert.doesNotMatch(verify?.body ?? '', /quote/);
  });
});

describe('a facilitator that cannot be trusted', () => {
  const invented = `0x${'ab'.repeat(32)}`;
  const lies: readonly (readonly [string, (body: string) => Reply | Promise<Reply>])[] = [
    ['names a transaction that does not exist', () => success(invented)],
    ['names no transaction', () => success('')],
    ['names something else', () => success('<script>')],
    [
      'names a foreign transaction',
      async () => success(await send(devnet, SETTLER, { to: PAY_TO, value: 1n })),
    ],
  ];
  for (const [name, settle] of lies)
    it(`says success and ${name}: not settled, not failed, not paid`, async (t) => {
      const { desk } = await deskOf(t, { settle }, 300);
      const got = await income(async () => {
        const open = await desk.capture(await granted(desk));
        assert.deepEqual(
          [open.state, open.reason],
          ['settlement_unknown', 'facilitator_unconfirmed'],
        );
        assert.equal(open.transaction, null);
      });
      assert.equal(got, 0n);
    });

  it('says success with another transaction than the one that paid: settled by the one that paid', async (t) => {
    let paid = '';
    const { desk } = await deskOf(
      t,
      {
        async settle(body) {
          paid = await settleFor(body);
          return success(invented);
        },
      },
      500,
    );
    const settled = await desk.capture(await granted(desk));
    assert.deepEqual([settled.state, settled.transaction], ['settled', paid]);
  });

  const failures: readonly (readonly [string, Reply, string])[] = [
    [
      'answers failure',
      [200, { success: false, errorReason: 'insufficient_funds' }],
      'insufficient_funds',
    ],
    ['answers failure with 400', [400, { success: false, errorReason: 'nope' }], 'nope'],
    ['answers 500', [500, { error: 'oops' }], 'facilitator_silent'],
    ['hangs', 'hang', 'facilitator_silent'],
    ['breaks off', 'reset', 'facilitator_silent'],
  ];
  for (const [name, reply, reason] of failures) {
    it(`${name} after it settled: settled`, async (t) => {
      const { desk } = await deskOf(
        t,
        {
          async settle(body) {
            await settleFor(body);
            return reply;
          },
        },
        300,
      );
      const got = await income(async () => {
        assert.equal((await desk.capture(await granted(desk))).state, 'settled');
      });
      assert.equal(got, COST);
    });

    it(`${name} without settling: unknown, never failed`, async (t) => {
      const { desk } = await deskOf(t, { settle: () => reply }, 300);
      const open = await desk.capture(await granted(desk));
      assert.deepEqual([open.state, open.reason], ['settlement_unknown', reason]);
    });
  }

  it('hangs once: the same one is asked again with the same bytes, after a restart too', async (t) => {
    let asked = 0;
    const other = await facilitator(t);
    const remote = await facilitator(t, {
      settle: async (body) => (asked++ === 0 ? 'hang' : success(await settleFor(body))),
    });
    const ledger = await memoryLedger(t);
    const network = { facilitator: [remote.url] };
    const first = await openDesk(t, devnet, { ledger, network, settleMs: 100 });
    const open = await first.capture(await granted(first));
    assert.equal(open.state, 'settlement_unknown');
    await first.rail.close();
    const changed = { facilitator: [other.url] };
    const second = await openDesk(t, devnet, { ledger, network: changed, resolveMs: 2_000 });
    const settled = await second.rail.resolve(open);
    assert.equal(settled.state, 'settled');
    const [one, two] = remote.of('/settle');
    assert.equal(one?.body, two?.body);
    assert.equal(other.of('/settle').length, 0);
  });
});

describe('verification by a facilitator', () => {
  const present = async (desk: Desk) => {
    const { v2 } = signOffer(await firstOffer(desk), account(devnet, 1));
    return { v2, presented: desk.present(v2) };
  };

  it('that says invalid is a 402 with its reason; the claim stays, released', async (t) => {
    const verify = (): Reply => [400, { isValid: false, invalidReason: 'screened_out' }];
    const { desk } = await deskOf(t, { verify });
    const { v2, presented } = await present(desk);
    await assert.rejects(
      presented,
      (error) => error instanceof PaymentRefused && error.code === 'screened_out',
    );
    const again = await desk.present(v2);
    assert.ok(again.outcome === 'exists');
    assert.deepEqual([again.payment.state, again.payment.reason], ['rejected', 'screened_out']);
  });

  it('never puts a stranger’s text into a code', async (t) => {
    const verify = (): Reply => [200, { isValid: false, invalidReason: 'x\r\nSet-Cookie: a=b' }];
    const { desk } = await deskOf(t, { verify });
    await assert.rejects((await present(desk)).presented, { code: 'facilitator_refused' });
  });

  for (const [name, reply] of [
    ['answers 500', [500, { error: 'oops' }]],
    ['breaks off', 'reset'],
    ['says nothing useful', [200, {}]],
  ] as const satisfies readonly (readonly [string, Reply])[])
    it(`that ${name} is 503, and the claim waits because the facilitator saw it`, async (t) => {
      const { desk } = await deskOf(t, { verify: () => reply });
      const { presented } = await present(desk);
      await assert.rejects(presented, RailUnavailable);
      const [row, ...more] = await desk.ledger.listPayments({ limit: 10 });
      assert.deepEqual([row?.state, more.length], ['claimed', 0]);
    });

  it('that was never reached is 503, and the claim is deleted', async (t) => {
    const { desk, remote } = await deskOf(t, {});
    const { v2 } = signOffer(await firstOffer(desk), account(devnet, 1));
    await remote.close();
    await assert.rejects(desk.present(v2), RailUnavailable);
    assert.deepEqual(await desk.ledger.listPayments({ limit: 10 }), []);
  });

  it('is asked only for what we find good ourselves', async (t) => {
    const { desk, remote } = await deskOf(t, {});
    const offer = await firstOffer(desk);
    const bad = signOffer(offer, account(devnet, 1), { chainId: 1n });
    await assert.rejects(desk.present(bad.v2), PaymentRefused);
    assert.equal(remote.of('/verify').length, 0);
  });

  it('moves to the next facilitator when the first is down', async (t) => {
    const remote = await facilitator(t, official());
    const network = { facilitator: ['http://127.0.0.1:49', `${remote.url}/`] };
    const desk = await openDesk(t, devnet, { network });
    assert.equal((await desk.capture(await granted(desk))).state, 'settled');
  });
});
