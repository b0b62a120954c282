/** Payers whose signature only the chain can judge: contract wallets (ERC-1271) and delegating keys (EIP-7702). */

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { domainSeparator, type Hex, hashTransferAuthorization } from '../../src/chains/evm/sign.ts';
import { PaymentRefused } from '../../src/core/errors.ts';
import {
  type DevnetAccount,
  type EvmDevnet,
  startEvmDevnet,
} from '../../src/devnet/start-evm-devnet.ts';
import { type Requirements, USDC } from '../../src/rails/x402/protocol.ts';
import {
  account,
  COST,
  type Desk,
  firstOffer,
  newKey,
  openDesk,
  PAY_TO,
  type SignedPayment,
  type Signing,
  signOffer,
} from './x402-fixture.ts';

let devnet: EvmDevnet;
before(async () => {
  devnet = await startEvmDevnet({ chainId: 8453 });
});
after(() => devnet.close());

/**
 * A wallet of 25 bytes: `isValidSignature(hash, signature)` answers ERC-1271's magic value exactly when
 * the first word of the signature is the hash. Offsets: hash at 4, signature bytes at 0x64.
 *
 *     PUSH1 04 CALLDATALOAD  PUSH1 64 CALLDATALOAD  EQ
 *     PUSH4 1626ba7e PUSH1 e0 SHL  MUL  PUSH1 00 MSTORE  PUSH1 20 PUSH1 00 RETURN
 */
const WALLET_CODE = '600435606435146 31626ba7e60e01b02600052 60206000f3'.replaceAll(' ', '');

/** The same after 50,000 rounds of a loop: about 1.3 million gas. PUSH3 c350 JUMPDEST PUSH1 1 SWAP1 SUB DUP1 PUSH1 4 JUMPI POP */
const GREEDY_CODE = `6200c3505b60019003806004 5750${WALLET_CODE}`.replaceAll(' ', '');

/** Puts a wallet with this code and some money on the chain; its key, if it has one, is `payer`'s. */
async function wallet(code: string, payer: DevnetAccount = freshPayer()): Promise<DevnetAccount> {
  await devnet.rpc('anvil_setCode', [payer.address, `0x${code}`]);
  await devnet.mint(payer.address, 10n * COST);
  return payer;
}

/** An address without a key; whoever signs for it signs with a key of nobody. */
function freshPayer(): DevnetAccount {
  const privateKey = newKey();
  return { privateKey, address: `0x${newKey().slice(-40)}` };
}

/** A payment whose signature is what the wallet accepts: the hash, and `tail` after it. */
function walletPayment(
  offer: Requirements,
  payer: DevnetAccount,
  tail: string,
  signing: Signing = {},
): SignedPayment {
  const token = USDC.get(offer.network);
  assert.ok(token);
  // Signed twice: the first time only to learn what is signed.
  const { authorization } = signOffer(offer, payer, signing);
  const separator = domainSeparator({ ...token, verifyingContract: token.asset });
  const hash = Buffer.from(hashTransferAuthorization(separator, authorization)).toString('hex');
  const { nonce, validBefore } = authorization;
  const signature = (): Hex => `0x${hash}${tail}`;
  return signOffer(offer, payer, { ...signing, nonce, validBefore, signature });
}

/** Completes 65 bytes that look like a key's signature: a low s, and v = 27. */
const LIKE_A_KEY = `${'01'.padStart(64, '0')}1b`;

async function refused(promise: Promise<unknown>): Promise<PaymentRefused> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof PaymentRefused) return error;
    throw error;
  }
  return assert.fail('it was not refused');
}

async function rows(desk: Desk): Promise<number> {
  return (await desk.ledger.listPayments({ limit: 100 })).length;
}

describe('a contract wallet', () => {
  for (const [name, tail] of [
    ['of 65 bytes', LIKE_A_KEY],
    ['of 66 bytes', '00'.repeat(34)],
    ['of 500 bytes', 'cd'.repeat(468)],
  ] as const)
    it(`pays with a signature ${name}, under the key of its nonce`, async (t) => {
      const desk = await openDesk(t, devnet);
      const payer = await wallet(WALLET_CODE);
      const signed = walletPayment(await firstOffer(desk), payer, tail);
      const before = await devnet.usdcBalance(PAY_TO);
      const payment = await desk.grant(signed.v2);
      assert.match(payment.credentialKey, new RegExp(`${signed.authorization.nonce}$`));
      const settled = await desk.capture(payment);
      assert.equal(settled.state, 'settled', settled.reason ?? '');
      assert.equal((await devnet.usdcBalance(PAY_TO)) - before, COST);
      assert.deepEqual(await desk.ledger.audit(), []);
    });

  it('is known when it comes again, before and after the settlement', async (t) => {
    const desk = await openDesk(t, devnet);
    const payer = await wallet(WALLET_CODE);
    const { v2 } = walletPayment(await firstOffer(desk), payer, '00'.repeat(34));
    const payment = await desk.grant(v2);
    for (const settle of [false, true]) {
      if (settle) await desk.capture(payment);
      const again = await desk.present(v2);
      assert.ok(again.outcome === 'exists' && again.payment.id === payment.id);
    }
    assert.equal(await rows(desk), 1);
  });

  it('that signs one nonce in two ways at once runs once', async (t) => {
    const desk = await openDesk(t, devnet);
    const payer = await wallet(WALLET_CODE);
    const offer = await firstOffer(desk);
    const nonce = newKey();
    const validBefore = BigInt(Math.floor(Date.now() / 1000) + 90);
    const both = ['00'.repeat(34), '00'.repeat(35)].map((tail) =>
      desk.present(walletPayment(offer, payer, tail, { nonce, validBefore }).v2),
    );
    const outcomes = (await Promise.all(both)).map(({ outcome }) => outcome).sort();
    assert.deepEqual(outcomes, ['exists', 'granted']);
    assert.equal(await rows(desk), 1);
  });

  it('that did not sign is refused, and the claim is gone', async (t) => {
    const desk = await openDesk(t, devnet);
    const payer = await wallet(WALLET_CODE);
    const offer = await firstOffer(desk);
    for (const signature of [`0x${'11'.repeat(80)}`, undefined] as const) {
      const signing = signature === undefined ? {} : { signature: () => signature };
      const error = await refused(desk.present(signOffer(offer, payer, signing).v2));
      assert.equal(error.code, 'invalid_exact_evm_payload_signature');
    }
    assert.equal(await rows(desk), 0);
  });

  it('that is not there is refused', async (t) => {
    const desk = await openDesk(t, devnet);
    const payer = freshPayer();
    await devnet.mint(payer.address, COST);
    const signed = walletPayment(await firstOffer(desk), payer, '00'.repeat(34));
    const error = await refused(desk.present(signed.v2));
    assert.equal(error.code, 'invalid_exact_evm_payload_signature');
    assert.equal(await rows(desk), 0);
  });

  it('whose signature check would burn our gas is refused', async (t) => {
    const desk = await openDesk(t, devnet);
    const payer = await wallet(GREEDY_CODE);
    const signed = walletPayment(await firstOffer(desk), payer, '00'.repeat(34));
    assert.match((await refused(desk.present(signed.v2))).message, /more than 400000 gas/);
    assert.equal(await rows(desk), 0);
  });

  it('of ERC-6492, not deployed yet, is malformed: the token could not check it', async (t) => {
    const desk = await openDesk(t, devnet);
    const offer = await firstOffer(desk);
    const signature = (): Hex => `0x${'ab'.repeat(64)}${'6492'.repeat(16)}`;
    const signed = signOffer(offer, freshPayer(), { signature });
    await assert.rejects(desk.present(signed.v2), { code: 'credential_malformed' });
  });
});

describe('a key that delegates to code (EIP-7702)', () => {
  it('is refused with the signature of its key alone, for the token asks the code', async (t) => {
    const desk = await openDesk(t, devnet);
    const delegate = await wallet(WALLET_CODE);
    const payer = await wallet(`ef0100${delegate.address.slice(2)}`, account(devnet, 3));
    const offer = await firstOffer(desk);
    const error = await refused(desk.present(signOffer(offer, payer).v2));
    assert.equal(error.code, 'invalid_exact_evm_payload_signature');
    assert.equal(await rows(desk), 0);

    const settled = await desk.capture(
      await desk.grant(walletPayment(offer, payer, '00'.repeat(34)).v2),
    );
    assert.equal(settled.state, 'settled');
  });
});
