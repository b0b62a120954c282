/** From a credential to a hold: what is refused, when, and what it costs. */

import assert from 'node:assert/strict';
import { after, before, describe, it, type TestContext } from 'node:test';
import { ExactEvmScheme } from '@x402/evm';
import { privateKeyToAccount } from 'viem/accounts';
import { type EvmChain, openEvmChain } from '../../src/chains/evm/open-evm-chain.ts';
import { PaymentRefused, RailUnavailable } from '../../src/core/errors.ts';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { encodeHeader } from '../../src/rails/x402/protocol.ts';
import { cancelAuthorization, sendTransfer, TO } from '../chains/evm-payer.ts';
import { routeOf } from '../support/route-of.ts';
import {
  account,
  COST,
  type Desk,
  type DeskOptions,
  exchangeOf,
  firstOffer,
  newKey,
  openDesk,
  PAY_TO,
  type Signing,
  signOffer,
} from './x402-fixture.ts';

let devnet: EvmDevnet;
before(async () => {
  devnet = await startEvmDevnet({ chainId: 8453 });
});
after(() => devnet.close());

const seconds = (): bigint => BigInt(Math.floor(Date.now() / 1000));

async function rows(desk: Desk): Promise<number> {
  return (await desk.ledger.listPayments({ limit: 100 })).length;
}

/** How often the rail read the chain for a payment. */
function countingChain(): { readonly options: DeskOptions; snapshots: () => number } {
  let snapshots = 0;
  const openChain = (options: Parameters<typeof openEvmChain>[0]): EvmChain => {
    const chain = openEvmChain(options);
    return {
      ...chain,
      snapshot: (...given) => {
        snapshots++;
        return chain.snapshot(...given);
      },
    };
  };
  return { options: { openChain }, snapshots: () => snapshots };
}

async function refusal(promise: Promise<unknown>): Promise<PaymentRefused> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof PaymentRefused) return error;
    throw error;
  }
  return assert.fail('it was not refused');
}

describe('a good payment', () => {
  it('is granted and held, with what the ledger needs to know it again', async (t) => {
    const desk = await openDesk(t, devnet);
    const payer = account(devnet, 1);
    const signed = signOffer(await firstOffer(desk), payer);
    const payment = await desk.grant(signed.v2);
    const address = payer.address.toLowerCase();
    const asset = devnet.asset.toLowerCase();
    assert.deepEqual(
      {
        ...{ rail: payment.rail, payer: payment.payer, network: payment.network },
        ...{ asset: payment.asset, max: payment.max, key: payment.credentialKey },
        replay: payment.replay,
      },
      {
        ...{ rail: 'x402', payer: `wallet:eip155:8453:${address}`, network: 'eip155:8453' },
        ...{ asset: `eip155:8453/erc20:${asset}`, max: COST },
        key: `x402:eip155:8453:${asset}:${address}:${signed.authorization.nonce}`,
        replay: 'always',
      },
    );
  });

  it('of v1 is granted in either header and replays only until broadcast', async (t) => {
    const desk = await openDesk(t, devnet);
    const offer = await firstOffer(desk);
    for (const name of ['x-payment', 'payment-signature']) {
      const payment = await desk.grant(signOffer(offer, account(devnet, 1)).v1, { name });
      assert.equal(payment.replay, 'until-broadcast');
    }
  });

  it('signed by the official client is granted', async (t) => {
    const desk = await openDesk(t, devnet);
    const offer = await firstOffer(desk);
    const scheme = new ExactEvmScheme(privateKeyToAccount(account(devnet, 2).privateKey));
    const made = await scheme.createPaymentPayload(2, offer as never);
    await desk.grant(encodeHeader({ ...made, accepted: offer }));
  });

  it('signed a minute ago, or with a clock ten minutes ahead, is still granted', async (t) => {
    const desk = await openDesk(t, devnet);
    const offer = await firstOffer(desk);
    for (const skewMs of [-59_000, 599_000])
      await desk.grant(signOffer(offer, account(devnet, 1), {}, Date.now() + skewMs).v2);
  });

  it('that comes again is known, whatever its version says', async (t) => {
    const desk = await openDesk(t, devnet);
    const signed = signOffer(await firstOffer(desk), account(devnet, 1));
    const first = await desk.grant(signed.v2);
    for (const header of [signed.v2, signed.v1]) {
      const again = await desk.present(header);
      assert.ok(again.outcome === 'exists' && again.payment.id === first.id);
    }
  });

  it('that comes twenty times at once is granted once', async (t) => {
    const desk = await openDesk(t, devnet);
    const { v2 } = signOffer(await firstOffer(desk), account(devnet, 1));
    const all = await Promise.all(Array.from({ length: 20 }, () => desk.present(v2)));
    const outcomes = all.map(({ outcome }) => outcome).sort();
    assert.deepEqual(outcomes, [...Array(19).fill('exists'), 'granted']);
  });

  it('of the past is still known when its offer and its signature have expired', async (t) => {
    let nowMs = Date.now();
    const desk = await openDesk(t, devnet, { clock: { now: () => nowMs } });
    const { v2 } = signOffer(await firstOffer(desk), account(devnet, 1));
    const first = await desk.grant(v2);
    nowMs += 3_600_000;
    const again = await desk.present(v2);
    assert.ok(again.outcome === 'exists' && again.payment.id === first.id);
  });
});

describe('a payment that is refused offline', () => {
  const cases: readonly (readonly [string, Signing, string, RegExp])[] = [
    [
      'pays one atom less',
      { value: COST - 1n },
      'invalid_exact_evm_payload_authorization_value_mismatch',
      /value is 5999, expected 6000/,
    ],
    [
      'pays one atom more',
      { value: COST + 1n },
      'invalid_exact_evm_payload_authorization_value_mismatch',
      /6001/,
    ],
    [
      'pays somebody else',
      { to: '0x00000000000000000000000000000000000000aa' },
      'invalid_exact_evm_payload_recipient_mismatch',
      new RegExp(`expected ${PAY_TO}`),
    ],
    [
      'has expired',
      { validBefore: 1n },
      'invalid_exact_evm_payload_authorization_valid_before',
      /at least/,
    ],
    [
      'ends before the work could be settled',
      { validBefore: seconds() + 25n },
      'invalid_exact_evm_payload_authorization_valid_before',
      /at least/,
    ],
    [
      'is valid for a day',
      { validBefore: seconds() + 86_400n },
      'invalid_exact_evm_payload_authorization_valid_before',
      /at most/,
    ],
    [
      'is valid for ever',
      { validBefore: 2n ** 256n - 1n },
      'invalid_exact_evm_payload_authorization_valid_before',
      /at most/,
    ],
    [
      'is not valid yet',
      { validAfter: seconds() + 3600n },
      'invalid_exact_evm_payload_authorization_valid_after',
      /less than/,
    ],
  ];
  for (const [name, signing, code, message] of cases)
    it(`because it ${name}, with code and reason, no row and no call`, async (t) => {
      const counting = countingChain();
      const desk = await openDesk(t, devnet, counting.options);
      const offer = await firstOffer(desk);
      const signed = signOffer(offer, account(devnet, 1), signing);
      for (const header of [signed.v2, signed.v1]) {
        const refused = await refusal(desk.present(header));
        assert.equal(refused.code, code);
        assert.match(refused.message, message);
        assert.match(refused.hint, /must be/);
      }
      assert.equal(await rows(desk), 0);
      assert.equal(counting.snapshots(), 0);
    });

  const echoes: readonly (readonly [string, object, string])[] = [
    ['another asset', { asset: TO }, 'invalid_payment_requirements'],
    ['another payTo', { payTo: devnetLess() }, 'invalid_payment_requirements'],
    ['another amount', { amount: '5999' }, 'invalid_payment_requirements'],
    ['another scheme', { scheme: 'batch-settlement' }, 'unsupported_scheme'],
    ['a network that is off', { network: 'eip155:84532' }, 'invalid_network'],
    ['Solana', { network: 'solana:mainnet' }, 'invalid_network'],
    ['no quote', { extra: { name: 'USD Coin', version: '2' } }, 'quote_missing'],
    ['no extra', { extra: null }, 'quote_missing'],
    ['an invented quote', { extra: { quote: 'A'.repeat(46) } }, 'quote_unknown'],
  ];
  for (const [name, change, code] of echoes)
    it(`because it accepted ${name}`, async (t) => {
      const desk = await openDesk(t, devnet);
      const offer = await firstOffer(desk);
      const { v2 } = signOffer(offer, account(devnet, 1));
      const message = JSON.parse(atob(v2)) as { accepted: object };
      const changed = encodeHeader({ ...message, accepted: { ...message.accepted, ...change } });
      assert.equal((await refusal(desk.present(changed))).code, code);
      assert.equal(await rows(desk), 0);
    });

  it('because its quote is for another route, or has expired', async (t) => {
    let nowMs = Date.now();
    const desk = await openDesk(t, devnet, { clock: { now: () => nowMs }, quoteTtlMs: 10_000 });
    const { v2 } = signOffer(await firstOffer(desk), account(devnet, 1));
    const route = routeOf('POST /other', { timeoutMs: desk.route.timeoutMs });
    assert.equal((await refusal(desk.present(v2, { route }))).code, 'quote_unknown');
    nowMs += 10_001;
    assert.equal((await refusal(desk.present(v2))).code, 'quote_expired');
    assert.equal(await rows(desk), 0);
  });

  it('because v1 names a network that is off', async (t) => {
    const desk = await openDesk(t, devnet);
    const { v1 } = signOffer(await firstOffer(desk), account(devnet, 1));
    const message = JSON.parse(atob(v1)) as object;
    const other = encodeHeader({ ...message, network: 'base-sepolia' });
    const refused = await refusal(desk.present(other));
    assert.equal(refused.code, 'invalid_network');
    assert.match(refused.message, /expected eip155:8453/);
  });
});

describe('a payment that the chain refuses', () => {
  const signatures: readonly (readonly [string, Signing])[] = [
    ['for another chain', { chainId: 84_532n }],
    ['for another token', { asset: TO }],
    ['as somebody else', { from: '0x00000000000000000000000000000000000000aa' }],
  ];
  for (const [name, signing] of signatures)
    it(`because it was signed ${name}, leaves no row`, async (t) => {
      const desk = await openDesk(t, devnet);
      const signed = signOffer(await firstOffer(desk), account(devnet, 1), signing);
      const refused = await refusal(desk.present(signed.v2));
      assert.equal(refused.code, 'invalid_exact_evm_payload_signature');
      assert.match(refused.hint, /"USD Coin" version "2" on chain 8453/);
      assert.equal(await rows(desk), 0);
    });

  it('cannot burn the claim of its victim: the same wallet and nonce, really signed, is granted', async (t) => {
    const desk = await openDesk(t, devnet);
    const offer = await firstOffer(desk);
    const [victim, thief] = [account(devnet, 1), account(devnet, 2)];
    const good = signOffer(offer, victim);
    const { nonce, validBefore } = good.authorization;
    const forged = signOffer(offer, thief, { from: victim.address, nonce, validBefore });
    const [refused, granted] = await Promise.allSettled([
      desk.present(forged.v2),
      desk.present(good.v2),
    ]);
    assert.equal(refused.status, 'rejected');
    assert.ok(granted.status === 'fulfilled' && granted.value.outcome === 'granted');
  });

  it('because the wallet is empty, says what it has and what it needs', async (t) => {
    const desk = await openDesk(t, devnet);
    const privateKey = newKey();
    const payer = { privateKey, address: privateKeyToAccount(privateKey).address };
    await devnet.mint(payer.address, COST - 1n);
    const signed = signOffer(await firstOffer(desk), payer);
    const refused = await refusal(desk.present(signed.v2));
    assert.equal(refused.code, 'insufficient_funds');
    assert.match(refused.message, /has 0\.005999 USDC; this call costs 0\.006 USDC/);
    assert.equal(await rows(desk), 0);
    await devnet.mint(payer.address, 1n);
    await desk.grant(signed.v2);
  });

  it('because its other calls already take what the wallet has', async (t) => {
    const desk = await openDesk(t, devnet);
    const privateKey = newKey();
    const payer = { privateKey, address: privateKeyToAccount(privateKey).address };
    await devnet.mint(payer.address, 5n * COST);
    const offer = await firstOffer(desk);
    const all = await Promise.allSettled(
      Array.from({ length: 20 }, () => desk.present(signOffer(offer, payer).v2)),
    );
    assert.equal(all.filter(({ status }) => status === 'fulfilled').length, 5);
    const refused = await refusal(desk.present(signOffer(offer, payer).v2));
    assert.equal(refused.code, 'insufficient_funds');
    assert.match(refused.message, /of which 0\.03 USDC pays for other calls/);
    assert.equal(await rows(desk), 5);
  });

  it('because the nonce was used or cancelled before', async (t) => {
    const desk = await openDesk(t, devnet);
    const offer = await firstOffer(desk);
    const used = signOffer(offer, account(devnet, 3));
    await sendTransfer(devnet, 4, { ...used.authorization, signature: used.signature });
    const cancelled = signOffer(offer, account(devnet, 3));
    await cancelAuthorization(devnet, 3, cancelled.authorization.nonce);
    for (const { v2 } of [used, cancelled])
      assert.equal((await refusal(desk.present(v2))).code, 'invalid_exact_evm_nonce_already_used');
    assert.equal(await rows(desk), 0);
  });

  it('because the wallet is barred by a payment that was served and failed', async (t) => {
    let nowMs = Date.now();
    const desk = await openDesk(t, devnet, { clock: { now: () => nowMs }, settleMs: 50 });
    const offer = await firstOffer(desk);
    const owed = await desk.grant(signOffer(offer, account(devnet, 5)).v2);
    await desk.ledger.expose({ paymentId: owed.id, perPayer: COST, perNetwork: COST });
    await cancelAuthorization(devnet, 5, `0x${owed.credentialKey.slice(-64)}`);
    assert.equal((await desk.capture(owed)).state, 'settlement_failed');
    nowMs = Date.now();
    const refused = await refusal(desk.present(signOffer(offer, account(devnet, 5)).v2));
    assert.equal(refused.code, 'payer_barred');
    assert.match(refused.message, new RegExp(owed.id));
  });
});

describe('a rail that cannot check', () => {
  async function unavailable(t: TestContext, desk: Desk, fail: () => void): Promise<void> {
    const { v2 } = signOffer(await firstOffer(desk), account(devnet, 6));
    fail();
    await assert.rejects(desk.present(v2), RailUnavailable);
    assert.equal(await rows(desk), 0, t.name);
  }

  it('answers 503 and forgets the claim when the node is gone, and takes the same payment later', async (t) => {
    const state = { down: false };
    const openChain = (options: Parameters<typeof openEvmChain>[0]): EvmChain => {
      const [good, bad] = [
        openEvmChain(options),
        openEvmChain({ ...options, urls: ['http://127.0.0.1:49'] }),
      ];
      return { ...good, snapshot: (...given) => (state.down ? bad : good).snapshot(...given) };
    };
    const desk = await openDesk(t, devnet, { openChain });
    const { v2 } = signOffer(await firstOffer(desk), account(devnet, 6));
    state.down = true;
    await assert.rejects(desk.present(v2), RailUnavailable);
    assert.equal(await rows(desk), 0);
    state.down = false;
    await assert.rejects(desk.present(v2), /no node answers|ECONNREFUSED/);
    // The next probe finds the node alive again.
    await waitForOffers(desk);
    await desk.grant(v2);
  });

  it('answers 503 when the clock is more than 30 s off the chain, in either direction', async (t) => {
    for (const skewMs of [-33_000, 33_000]) {
      let offMs = 0;
      const desk = await openDesk(t, devnet, { clock: { now: () => Date.now() + offMs } });
      await unavailable(t, desk, () => {
        offMs = skewMs;
      });
    }
  });

  it('answers 503 before any claim when the network is known to be down', async (t) => {
    const desk = await openDesk(t, devnet, { network: { settleWith: newKey() } });
    const good = await openDesk(t, devnet);
    const { v2 } = signOffer(await firstOffer(good), account(devnet, 6));
    await assert.rejects(desk.present(v2), /cannot pay gas/);
    assert.equal(await rows(desk), 0);
  });
});

it('a request without a credential is none of the rail’s business', async (t) => {
  const desk = await openDesk(t, devnet);
  assert.equal(desk.rail.recognise(exchangeOf({})), null);
});

function devnetLess(): string {
  return '0x00000000000000000000000000000000000000bb';
}

async function waitForOffers(desk: Desk): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setInterval(() => {
    desk.rawOffers().then(
      () => resolve(),
      () => {},
    );
  }, 50);
  await promise;
  clearInterval(timer);
}
