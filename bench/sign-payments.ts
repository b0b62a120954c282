/** Signs many payments for one offer ahead of the load: fresh nonces, real signatures. */

import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { secp256k1Engine } from '../src/chains/evm/secp256k1-engine.ts';
import {
  addressOfPrivateKey,
  domainSeparator,
  type Hex,
  hashTransferAuthorization,
} from '../src/chains/evm/sign.ts';
import type { DevnetAccount } from '../src/devnet/start-evm-devnet.ts';
import {
  decodePaymentRequired,
  encodeExactEvmPayload,
  encodeHeader,
  type Requirements,
  type ResourceInfo,
  USDC,
} from '../src/rails/x402/protocol.ts';

interface Wallet {
  readonly address: Hex;
  readonly key: Uint8Array;
}

const WALLETS = 64;
/** Longer than any run: a header may be used some minutes after it was signed. */
const EXTRA_SECONDS = 300;

export class PaymentSigner {
  readonly #wallets: readonly Wallet[];
  #signed = 0;

  /** The payers in turns; without any, new keys that are rich only on the instant chain. */
  constructor(payers?: readonly DevnetAccount[]) {
    this.#wallets = (payers ?? Array.from({ length: WALLETS }, newPayer)).map((payer) => ({
      address: payer.address,
      key: Buffer.from(payer.privateKey.slice(2), 'hex'),
    }));
  }

  /** A value of PAYMENT-SIGNATURE that pays one offer once. */
  header(accepted: Requirements, resource?: ResourceInfo): string {
    const payload = this.#sign(accepted);
    return encodeHeader({ x402Version: 2, ...(resource && { resource }), accepted, payload });
  }

  /** Values of PAYMENT-SIGNATURE for the first offer of a 402, one per line of a file. */
  async write(file: string, required: string, count: number): Promise<void> {
    const { accepts, resource } = decodePaymentRequired(required);
    const [accepted] = accepts;
    if (accepted === undefined) throw new Error('the 402 offers nothing');
    const lines = Array.from({ length: count }, () => this.header(accepted, resource));
    await writeFile(file, `${lines.join('\n')}\n`);
  }

  #sign(offer: Requirements) {
    const token = USDC.get(offer.network);
    const wallet = this.#wallets[this.#signed++ % this.#wallets.length];
    if (token === undefined || wallet === undefined) throw new Error('no token or no wallet');
    const validBefore = Math.floor(Date.now() / 1000) + offer.maxTimeoutSeconds + EXTRA_SECONDS;
    const authorization = {
      from: wallet.address,
      to: offer.payTo as Hex,
      value: BigInt(offer.amount),
      validAfter: 0n,
      validBefore: BigInt(validBefore),
      nonce: `0x${randomBytes(32).toString('hex')}` as Hex,
    };
    const hash = hashTransferAuthorization(separatorOf(offer.network), authorization);
    const { rs, yParity } = secp256k1Engine.sign(hash, wallet.key);
    const signature: Hex = `0x${Buffer.from(rs).toString('hex')}${yParity === 0 ? '1b' : '1c'}`;
    return encodeExactEvmPayload({ signature, authorization });
  }
}

function newPayer(): DevnetAccount {
  const privateKey: Hex = `0x${randomBytes(32).toString('hex')}`;
  return { privateKey, address: addressOfPrivateKey(privateKey) };
}

const separators = new Map<string, Uint8Array>();

function separatorOf(network: string): Uint8Array {
  let separator = separators.get(network);
  if (separator === undefined) {
    const token = USDC.get(network);
    if (token === undefined) throw new Error(`USDC on ${network} is not known`);
    separator = domainSeparator({ ...token, verifyingContract: token.asset });
    separators.set(network, separator);
  }
  return separator;
}
