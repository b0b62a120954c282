/** The payer's side of x402 scheme upto on EVM: signs the most that a call may cost, by Permit2. */

import type { Eip712Domain, Hex } from '../../chains/evm/sign.ts';
import {
  PERMIT2,
  type TokenPermit,
  UPTO_PROXY,
  type UptoPermit,
} from '../../chains/evm/sign-permit2.ts';
import type { SignedCredential, X402Offer } from './client.ts';
import { encodeHeader, type UsdcToken } from './protocol.ts';
import { encodeUptoEvmPayload, type SponsoredPermit } from './protocol-upto.ts';

/** A wallet that can also pay by Permit2. */
export interface UptoWallet {
  readonly address: Hex;
  /** Signs the EIP-712 hash of an upto permit on that chain: 65 bytes `r | s | v`. */
  signUptoPermit(chainId: bigint, permit: UptoPermit): Promise<Hex>;
  /** Signs the EIP-712 hash of an EIP-2612 permit of a token: 65 bytes `r | s | v`. */
  signTokenPermit(domain: Eip712Domain, permit: TokenPermit): Promise<Hex>;
}

/** What the token knows about the wallet and Permit2. */
export interface PermitState {
  /** Atoms that Permit2 may take of the wallet. */
  readonly allowance: bigint;
  /** The wallet's next EIP-2612 nonce. */
  readonly nonce: bigint;
}

/**
 * Signs an upto offer that payabilityOf found payable. `nonce` must be 32 fresh random bytes. With
 * `permitState`, an allowance that is too small is mended by a permit whose gas the server pays.
 */
export async function signUptoOffer(order: {
  readonly offer: X402Offer;
  readonly token: UsdcToken;
  readonly wallet: UptoWallet;
  readonly nonce: Hex;
  readonly nowMs: number;
  /** Null when it is not known: then the wallet is believed to have approved Permit2. */
  readonly permitState: PermitState | null;
}): Promise<SignedCredential> {
  const { offer, token, wallet, nonce, permitState } = order;
  const permit: UptoPermit = {
    from: wallet.address,
    permitted: { token: token.asset, amount: offer.amount },
    spender: UPTO_PROXY,
    nonce: BigInt(nonce),
    deadline: BigInt(Math.floor(order.nowMs / 1000) + offer.maxTimeoutSeconds),
    witness: {
      to: offer.payTo as Hex,
      facilitator: offer.facilitator as Hex,
      validAfter: 0n,
    },
  };
  const signature = await wallet.signUptoPermit(token.chainId, permit);
  const payload = encodeUptoEvmPayload({ signature, permit2Authorization: permit });
  const isShort = permitState !== null && permitState.allowance < offer.amount;
  const sponsored = isShort ? await signPermit(wallet, token, permit, permitState.nonce) : null;
  const paymentId = `pay_${nonce.slice(2, 34)}`;
  return {
    headerName: 'PAYMENT-SIGNATURE',
    headerValue: encodeHeader(offer.credential(payload, paymentId, sponsored)),
    network: offer.network,
    asset: token.asset,
    from: permit.from,
    payTo: permit.witness.to,
    amount: offer.amount,
    nonce,
    validBefore: permit.deadline,
  };
}

/** For this payment's amount and time only: the proxy takes no other value. */
async function signPermit(
  wallet: UptoWallet,
  token: UsdcToken,
  { from, permitted, deadline }: UptoPermit,
  nonce: bigint,
): Promise<SponsoredPermit> {
  const { name, version, chainId, asset } = token;
  const amount = permitted.amount;
  const permit: TokenPermit = { owner: from, spender: PERMIT2, value: amount, nonce, deadline };
  const domain = { name, version, chainId, verifyingContract: asset };
  const signature = await wallet.signTokenPermit(domain, permit);
  return { from, asset, spender: PERMIT2, amount, nonce, deadline, signature };
}
