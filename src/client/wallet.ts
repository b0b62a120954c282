/** A wallet from a private key. */

import {
  addressOfPrivateKey,
  domainSeparator,
  type Hex,
  hashTransferAuthorization,
  SignInputError,
  signHash,
} from '../chains/evm/sign.ts';
import { hashTokenPermit, hashUptoPermit, permit2Separator } from '../chains/evm/sign-permit2.ts';
import type { X402Wallet } from '../rails/x402/client.ts';
import type { UptoWallet } from '../rails/x402/client-upto.ts';
import { WalletKeyInvalid } from './errors.ts';

/** A wallet without the two methods of UptoWallet pays exact amounts only. */
export type Wallet = X402Wallet & Partial<UptoWallet>;

/** A wallet that signs with a private key (`0x` optional); throws WalletKeyInvalid when it is missing or no key. */
export function privateKeyWallet(privateKey: string | undefined): X402Wallet & UptoWallet {
  const key = readKey(privateKey);
  // The key stays in this closure: printing or serialising the wallet shows the address alone.
  return {
    address: addressOf(key),
    async signTransferAuthorization(domain, authorization) {
      return signHash(hashTransferAuthorization(domainSeparator(domain), authorization), key);
    },
    async signUptoPermit(chainId, permit) {
      return signHash(hashUptoPermit(permit2Separator(chainId), permit), key);
    },
    async signTokenPermit(domain, permit) {
      return signHash(hashTokenPermit(domainSeparator(domain), permit), key);
    },
  };
}

function readKey(privateKey: string | undefined): Hex {
  const text = privateKey?.trim() ?? '';
  if (text === '') throw new WalletKeyInvalid('The wallet has no private key.');
  return text.startsWith('0x') ? (text as Hex) : `0x${text}`;
}

function addressOf(key: Hex): Hex {
  try {
    return addressOfPrivateKey(key);
  } catch (error) {
    if (!(error instanceof SignInputError)) throw error;
    throw new WalletKeyInvalid(`The wallet can't be used: ${error.message}.`);
  }
}
