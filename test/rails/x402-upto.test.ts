/** Metered prices by wallet: the payer signs the most, our key takes what was used. Real chain, real ledger. */

import assert from 'node:assert/strict';
import { after, before, describe, it, type TestContext } from 'node:test';
import { decodePaymentResponseHeader } from '@x402/core/http';
import { createWalletClient, encodeFunctionData, http, parseAbi } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { base } from 'viem/chains';
import { RpcUnavailable } from '../../src/chains/evm/json-rpc.ts';
import { type EvmChain, openEvmChain } from '../../src/chains/evm/open-evm-chain.ts';
import { PERMIT2 } from '../../src/chains/evm/sign-permit2.ts';
import { PaymentRefused, RailUnavailable } from '../../src/core/errors.ts';
import type { Payment } from '../../src/core/payment.ts';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { AllowanceMissing } from '../../src/rails/x402/allowance-missing.ts';
import { decodePaymentHeader, encodeHeader } from '../../src/rails/x402/protocol.ts';
import { send } from '../chains/evm-payer.ts';
import {
  account,
  approve,
  MAX,
  openUptoDesk,
  PAY_TO,
  payOfficially,
  signUpto,
  type UptoDesk,
  type UptoDeskOptions,
  uptoOffer,
} from './x402-upto-fixture.ts';

let devnet: EvmDevnet;
let nextPayer = 1;
before(async () => {
  devnet = await startEvmDevnet({ chainId: 8453, accountsCount: 60 });
});
after(() => devnet.close());

/** The real chain with some of its methods replaced. */
function chainWith(change: (chain: EvmChain) => Partial<EvmChain>): typeof openEvmChain {
  return (options) => {
    const chain = openEvmChain(options);
    return { ...chain, ...change(chain) };
  };
}

const down = (): Promise<never> => Promise.reject(new RpcUnavailable('down'));

interface Stage {
  readonly desk: UptoDesk;
  readonly index: number;
  readonly payer: EvmDevnet['accounts'][number];
  /** Atoms that left the payer since the stage was set. */
  paid(): Promise<bigint>;
}

/** A desk and a payer of its own, who has approved Permit2. */
async function stage(
  t: TestContext,
  options: UptoDeskOptions = {},
  approved = true,
): Promise<Stage> {
  const index = nextPayer++;
  const payer = account(devnet, index);
  if (approved) await approve(devnet, index);
  const desk = await openUptoDesk(t, devnet, options);
  const before = await devnet.usdcBalance(payer.address);
  const paid = async () => before - (await devnet.usdcBalance(payer.address));
  return { desk, index, payer, paid };
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

async function soundBooks({ desk }: Stage): Promise<void> {
  assert.deepEqual(await desk.ledger.audit(), []);
}

function receiptOf({ desk }: Stage, payment: Payment) {
  const [, header = ''] = desk.rail.receiptHeaders(payment);
  return decodePaymentResponseHeader(header);
}

/** Calls Permit2 directly, as a wallet's owner can at any time. */
async function invalidate(payer: number, nonce: bigint): Promise<void> {
  const word = (value: bigint) => value.toString(16).padStart(64, '0');
  await send(devnet, payer, {
    to: PERMIT2,
    data: `0x3ff9dcb1${word(nonce >> 8n)}${word(1n << (nonce & 0xffn))}`,
  });
}

/** Takes one atom by a permit of his own under that nonce. */
async function spendNonce({ payer, index }: Stage, nonce: bigint): Promise<void> {
  const wallet = createWalletClient({
    account: privateKeyToAccount(payer.privateKey),
    chain: base,
    transport: http(devnet.rpcUrl),
  });
  const spender = payer.address;
  const permitted = { token: devnet.asset, amount: 1n };
  const deadline = BigInt(Math.floor(Date.now() / 1000) + 600);
  const signature = await wallet.signTypedData({
    domain: { name: 'Permit2', chainId: devnet.chainId, verifyingContract: PERMIT2 },
    types: {
      PermitTransferFrom: [
        { name: 'permitted', type: 'TokenPermissions' },
        { name: 'spender', type: 'address' },
        { name: 'nonce', type: 'uint256' },
        { name: 'deadline', type: 'uint256' },
      ],
      TokenPermissions: [
        { name: 'token', type: 'address' },
        { name: 'amount', type: 'uint256' },
      ],
    },
    primaryType: 'PermitTransferFrom',
    message: { permitted, spender, nonce, deadline },
  });
  const abi = parseAbi([
    'function permitTransferFrom(((address token, uint256 amount) permitted, uint256 nonce, uint256 deadline) permit, (address to, uint256 requestedAmount) details, address owner, bytes signature)',
  ]);
  const data = encodeFunctionData({
    abi,
    functionName: 'permitTransferFrom',
    args: [
      { permitted, nonce, deadline },
      { to: '0x00000000000000000000000000000000000000cc', requestedAmount: 1n },
      payer.address,
      signature,
    ],
  });
  await send(devnet, index, { to: PERMIT2, data });
}

describe('a metered call', () => {
  it('is offered by upto alone, with what a payer needs to sign', async (t) => {
    const { desk } = await stage(t);
    const { accepts, extensions } = await desk.required();
    assert.equal(accepts.length, 1);
    assert.equal(extensions, undefined);
    assert.deepEqual(accepts[0], {
      ...{ scheme: 'upto', network: 'eip155:8453', amount: '10000', asset: devnet.asset },
      payTo: PAY_TO,
      maxTimeoutSeconds: accepts[0]?.maxTimeoutSeconds,
      extra: {
        ...{ name: 'USD Coin', version: '2', assetTransferMethod: 'permit2', quote: 'quote' },
        facilitatorAddress: account(devnet, 0).address,
      },
    });
  });

  it('is offered by exact too where the route charges the most to wallets that know no better', async (t) => {
    const { desk } = await stage(t, { route: { chargeMax: true } });
    const { accepts } = await desk.required();
    assert.deepEqual(
      accepts.map(({ scheme }) => scheme),
      ['upto', 'exact'],
    );
  });

  it('takes what was used, from the official client', async (t) => {
    const s = await stage(t);
    const payment = await s.desk.grant(await payOfficially(s.desk, s.payer));
    assert.equal(payment.max, MAX);
    assert.match(payment.credentialKey, /^x402:eip155:8453:permit2:0x[0-9a-f]{40}:\d+$/);
    const settled = await s.desk.capture(payment, 1_234n);
    assert.equal(settled.state, 'settled');
    assert.deepEqual([settled.amount, settled.cost], [1_234n, 1_234n]);
    assert.equal(await s.paid(), 1_234n);
    const receipt = receiptOf(s, settled);
    assert.deepEqual([receipt.success, receipt.amount], [true, '1234']);
    await soundBooks(s);
  });

  it('never takes more than was signed, whatever a meter says', async (t) => {
    const s = await stage(t);
    const payment = await s.desk.grant(await payOfficially(s.desk, s.payer));
    await assert.rejects(s.desk.capture(payment, MAX + 1n));
    assert.equal(await s.paid(), 0n);
    assert.equal((await s.desk.ledger.findPayment(payment.id))?.state, 'running');
  });

  it('that used nothing sends no transaction', async (t) => {
    const s = await stage(t);
    const payment = await s.desk.grant(await payOfficially(s.desk, s.payer));
    const settled = await s.desk.capture(payment, 0n);
    assert.equal(settled.state, 'settled');
    assert.equal(settled.transaction, null);
    assert.equal(await s.paid(), 0n);
    const receipt = receiptOf(s, settled);
    assert.deepEqual([receipt.success, receipt.amount, receipt.transaction], [true, '0', '']);
    assert.deepEqual(await s.desk.ledger.openJobs(), []);
    await soundBooks(s);
  });

  it('that streamed is captured at once and settled behind the stream', async (t) => {
    const s = await stage(t);
    const payment = await s.desk.grant(await payOfficially(s.desk, s.payer));
    assert.equal(s.desk.rail.capturesBeforeAnswer(payment), false);
    const order = { payment, cost: 77n, usage: [], answer: null };
    assert.equal((await s.desk.rail.capture(order)).state, 'captured');
    const seen = await s.desk.rail.resolve({ ...payment, state: 'captured' });
    assert.equal(seen.state, 'settled');
    assert.equal(await s.paid(), 77n);
  });
});

describe('a permit that does not fit', () => {
  it('is refused with what was expected, and nothing is kept of it', async (t) => {
    const { desk, payer } = await stage(t);
    const offer = await uptoOffer(desk);
    const now = BigInt(Math.floor(Date.now() / 1000));
    const stranger = account(devnet, 59).address;
    const { witness } = signUpto(offer, payer).permit;
    const permitted = { token: stranger, amount: MAX };
    const cases = {
      invalid_permit2_spender: { permit: { spender: stranger } },
      permit2_token_mismatch: { permit: { permitted } },
      invalid_permit2_recipient_mismatch: { permit: { witness: { ...witness, to: stranger } } },
      upto_facilitator_mismatch: { permit: { witness: { ...witness, facilitator: stranger } } },
      permit2_amount_mismatch: { amount: MAX - 1n },
      permit2_not_yet_valid: { permit: { witness: { ...witness, validAfter: now + 60n } } },
      permit2_deadline_expired: { permit: { deadline: now + 20n } },
      invalid_permit2_signature: { permit: { from: stranger } },
      invalid_payment_requirements: { accepted: { amount: '1' } },
    };
    for (const [code, change] of Object.entries(cases)) {
      const error = await refusal(desk.present(signUpto(offer, payer, change).header));
      assert.equal(error.code, code);
    }
    const late = { permit: { deadline: now + 100_000n } };
    const error = await refusal(desk.present(signUpto(offer, payer, late).header));
    assert.match(error.message, /at most/);
    assert.deepEqual(await desk.ledger.listPayments({ limit: 10 }), []);
  });

  it('pays no route that takes exact amounts, and exact no metered one', async (t) => {
    const flat = await stage(t, { route: { price: { kind: 'flat', amount: MAX } } });
    const metered = await stage(t);
    const permit = signUpto(await uptoOffer(metered.desk), flat.payer).header;
    assert.equal((await refusal(flat.desk.present(permit))).code, 'unsupported_scheme');
    const [exact] = (await flat.desk.required()).accepts;
    const payload = {
      signature: `0x${'11'.repeat(64)}1b`,
      authorization: {
        ...{ from: flat.payer.address, to: PAY_TO, value: '10000', validAfter: '0' },
        ...{ validBefore: '1800000000', nonce: `0x${'ab'.repeat(32)}` },
      },
    };
    const header = encodeHeader({ x402Version: 2, accepted: exact, payload });
    assert.equal((await refusal(metered.desk.present(header))).code, 'unsupported_scheme');
    const { payload: signed } = decodePaymentHeader(permit);
    const v1 = encodeHeader({ x402Version: 1, scheme: 'upto', network: 'base', payload: signed });
    assert.equal((await refusal(metered.desk.present(v1))).code, 'unsupported_scheme');
  });

  it('without allowance is 412 and names the approval; afterwards the very same permit pays', async (t) => {
    const s = await stage(t, {}, false);
    const { header } = signUpto(await uptoOffer(s.desk), s.payer);
    await assert.rejects(s.desk.present(header), (error) => {
      assert.ok(error instanceof AllowanceMissing);
      assert.equal(error.status, 412);
      assert.match(error.hint, /0x095ea7b3/);
      return true;
    });
    await approve(devnet, s.index);
    await s.desk.grant(header);
  });

  it('of a wallet without money is refused as such', async (t) => {
    const s = await stage(t, { max: 10_000_000_001n });
    const { header } = signUpto(await uptoOffer(s.desk), s.payer);
    assert.equal((await refusal(s.desk.present(header))).code, 'insufficient_funds');
  });

  it('shares one allowance with the open calls of its wallet', async (t) => {
    const s = await stage(t, {}, false);
    await approve(devnet, s.index, MAX + 5_000n);
    const first = await s.desk.grant(await payOfficially(s.desk, s.payer));
    const second = signUpto(await uptoOffer(s.desk), s.payer).header;
    await assert.rejects(s.desk.present(second), AllowanceMissing);
    await s.desk.capture(first, 5_000n);
    await s.desk.grant(second);
  });
});

describe('a permit used twice', () => {
  it('is the same payment, before and after it has settled', async (t) => {
    const s = await stage(t);
    const { header } = signUpto(await uptoOffer(s.desk), s.payer);
    const [one, two] = await Promise.all([s.desk.present(header), s.desk.present(header)]);
    assert.deepEqual([one.outcome, two.outcome].sort(), ['exists', 'granted']);
    const granted = one.outcome === 'granted' ? one : two;
    if (granted.outcome === 'declined') return assert.fail();
    const settled = await s.desk.capture(granted.payment, 10n);
    const again = await s.desk.present(header, 'another');
    assert.equal(again.outcome === 'exists' && again.payment.id, settled.id);
    assert.equal(await s.paid(), 10n);
  });

  it('under the same nonce for another amount or spender is the same credential', async (t) => {
    const s = await stage(t);
    const offer = await uptoOffer(s.desk);
    const first = signUpto(offer, s.payer);
    const payment = await s.desk.grant(first.header);
    const other = signUpto(offer, s.payer, {
      permit: { nonce: first.permit.nonce, deadline: first.permit.deadline + 1n },
    });
    const again = await s.desk.present(other.header);
    assert.equal(again.outcome === 'exists' && again.payment.id, payment.id);
  });

  it('that was cancelled before is refused', async (t) => {
    const s = await stage(t);
    const { header, permit } = signUpto(await uptoOffer(s.desk), s.payer);
    await invalidate(s.index, permit.nonce);
    assert.equal((await refusal(s.desk.present(header))).code, 'permit2_invalid_nonce');
  });
});

describe('a payer who takes the money away during the work', () => {
  it('by cancelling the nonce fails the settlement, and is barred once it was served', async (t) => {
    const s = await stage(t);
    const { header, permit } = signUpto(await uptoOffer(s.desk), s.payer);
    const payment = await s.desk.grant(header);
    const limits = { perPayer: 10n ** 9n, perNetwork: 10n ** 9n };
    assert.equal(await s.desk.ledger.expose({ paymentId: payment.id, ...limits }), 'within');
    await invalidate(s.index, permit.nonce);
    const failed = await s.desk.capture(payment, 500n);
    assert.deepEqual([failed.state, failed.reason], ['settlement_failed', 'permit_cancelled']);
    const again = signUpto(await uptoOffer(s.desk), s.payer).header;
    assert.equal((await refusal(s.desk.present(again))).code, 'payer_barred');
    await soundBooks(s);
  });

  it('by using the nonce for himself fails the settlement', async (t) => {
    const s = await stage(t);
    const { header, permit } = signUpto(await uptoOffer(s.desk), s.payer);
    const payment = await s.desk.grant(header);
    await spendNonce(s, permit.nonce);
    const failed = await s.desk.capture(payment, 500n);
    assert.deepEqual([failed.state, failed.reason], ['settlement_failed', 'permit_used_otherwise']);
    await soundBooks(s);
  });

  it('in the block before our transaction makes it revert, and its gas is in the books', async (t) => {
    const gas = async () => ({ outcome: 'ok', gas: 150_000n }) as const;
    const s = await stage(t, { openChain: chainWith(() => ({ estimateGas: gas })) });
    const { header, permit } = signUpto(await uptoOffer(s.desk), s.payer);
    const payment = await s.desk.grant(header);
    await spendNonce(s, permit.nonce);
    const failed = await s.desk.capture(payment, 500n);
    assert.deepEqual([failed.state, failed.reason], ['settlement_failed', 'permit_used_otherwise']);
    const spent = (await s.desk.ledger.balances()).find(({ account: name }) => /gas/.test(name));
    assert.ok((spent?.balance ?? 0n) > 0n);
    await soundBooks(s);
  });

  it('by withdrawing the allowance stays unknown, and settles when it is given back', async (t) => {
    const s = await stage(t);
    const payment = await s.desk.grant(await payOfficially(s.desk, s.payer));
    await approve(devnet, s.index, 0n);
    const open = await s.desk.capture(payment, 500n);
    assert.deepEqual([open.state, open.reason], ['settlement_unknown', 'insufficient_funds']);
    await approve(devnet, s.index);
    const settled = await s.desk.rail.resolve(open);
    assert.equal(settled.state, 'settled');
    assert.equal(await s.paid(), 500n);
  });
});

describe('a settlement whose end was not heard', () => {
  it('is sent by the next process with the very transaction that was stored', async (t) => {
    const s = await stage(t, { openChain: chainWith(() => ({ broadcast: down })), settleMs: 50 });
    const payment = await s.desk.grant(await payOfficially(s.desk, s.payer));
    const open = await s.desk.capture(payment, 42n);
    assert.equal(open.state, 'settlement_unknown');
    const job = await s.desk.ledger.findJob(payment.id);
    assert.equal(job?.scheme, 'upto');
    assert.equal(await s.paid(), 0n);
    await s.desk.rail.close();

    const next = await openUptoDesk(t, devnet, { ledger: s.desk.ledger });
    const settled = await next.rail.resolve(open);
    assert.equal(settled.state, 'settled');
    assert.equal(settled.transaction, job?.transaction?.hash);
    assert.equal(await s.paid(), 42n);
    await soundBooks(s);
  });

  it('is found by what its transaction asked for, also among others of the same amount', async (t) => {
    const s = await stage(t, {
      openChain: chainWith(() => ({ receipt: async () => null })),
      settleMs: 50,
    });
    const ids: string[] = [];
    for (let i = 0; i < 3; i++) {
      const payment = await s.desk.grant(await payOfficially(s.desk, s.payer));
      const settled = await s.desk.capture(payment, 42n);
      assert.equal(settled.state, 'settled');
      assert.equal(
        settled.transaction,
        (await s.desk.ledger.findJob(payment.id))?.transaction?.hash,
      );
      ids.push(settled.transaction ?? '');
    }
    assert.equal(new Set(ids).size, 3);
    assert.equal(await s.paid(), 126n);
  });
});

describe('gas for a first permit', () => {
  const gasSponsoring = { perDay: 1, minPrice: '$0.01' };

  it('is paid by the gateway where it says so, once a day, for the official client', async (t) => {
    const s = await stage(t, { gasSponsoring }, false);
    const payment = await s.desk.grant(await payOfficially(s.desk, s.payer));
    const settled = await s.desk.capture(payment, 900n);
    assert.equal(settled.state, 'settled');
    assert.equal(await s.paid(), 900n);
    await assert.rejects(s.desk.present(await payOfficially(s.desk, s.payer)), AllowanceMissing);
    await soundBooks(s);
  });

  it('is not paid for a call that costs too little', async (t) => {
    const s = await stage(t, { gasSponsoring: { perDay: 1, minPrice: '$0.02' } }, false);
    await assert.rejects(s.desk.present(await payOfficially(s.desk, s.payer)), AllowanceMissing);
  });

  it('is not paid to a wallet that has allowed enough already', async (t) => {
    const s = await stage(t, { gasSponsoring }, false);
    const header = await payOfficially(s.desk, s.payer);
    await approve(devnet, s.index);
    const payment = await s.desk.grant(header);
    const settled = await s.desk.capture(payment, 5n);
    assert.equal(settled.state, 'settled');
    // The permit would have set the allowance to the price of this call.
    const next = signUpto(await uptoOffer(s.desk), s.payer).header;
    await s.desk.grant(next);
  });

  it('is given back to the wallet when its call failed', async (t) => {
    const s = await stage(t, { gasSponsoring }, false);
    const payment = await s.desk.grant(await payOfficially(s.desk, s.payer));
    await s.desk.ledger.release({
      ...{ paymentId: payment.id, owner: payment.owner, state: 'released' },
      ...{ reason: 'upstream_failed', answer: null },
    });
    await s.desk.grant(await payOfficially(s.desk, s.payer));
  });
});

it('without an own key a metered route has no offer, and says so', async (t) => {
  const desk = await openUptoDesk(t, devnet, { facilitators: willing });
  await assert.rejects(desk.required(), (error) => {
    assert.ok(error instanceof RailUnavailable);
    assert.match(error.message, /settleWith/);
    return true;
  });
});

/** A facilitator that serves everything and settles nothing. */
const willing: NonNullable<UptoDeskOptions['facilitators']> = {
  supports: async () => true,
  verify: async () => ({ valid: true }),
  settle: async () => assert.fail('nothing is to be settled'),
};
