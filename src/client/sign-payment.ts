/** Signs the chosen offer, by whichever scheme it is; asks the chain first where a permit may be needed. */

import { approvePermit2, PERMIT2 } from '../chains/evm/sign-permit2.ts';
import { type SignedCredential, signOffer } from '../rails/x402/client.ts';
import { type PermitState, signUptoOffer, type UptoWallet } from '../rails/x402/client-upto.ts';
import type { ChosenOffer } from './choose-offer.ts';
import { AllowanceMissing, type PermitApproval } from './errors.ts';
import type { Wallet } from './wallet.ts';

/** What the token knows about an account and Permit2; null when nobody can be asked. */
export type ReadPermitState = (
  network: string,
  asset: string,
  account: string,
) => Promise<PermitState | null>;

export interface SignOrder extends ChosenOffer {
  readonly wallet: Wallet;
  readonly nonce: `0x${string}`;
  readonly nowMs: number;
  readonly readPermitState: ReadPermitState;
  readonly response: Response;
}

/** Throws AllowanceMissing, before anything is signed, when the wallet must first approve Permit2. */
export async function signPayment(order: SignOrder): Promise<SignedCredential> {
  const { offer, token, wallet, readPermitState, response } = order;
  if (offer.scheme === 'exact' || !signsPermits(wallet)) return await signOffer(order);
  const permitState = await readPermitState(offer.network, token.asset, wallet.address);
  if (permitState !== null && permitState.allowance < offer.amount && !offer.sponsorsPermit)
    throw new AllowanceMissing(approvalOf(offer.network, token.asset, wallet.address), response);
  return await signUptoOffer({ ...order, wallet, permitState });
}

export function signsPermits(wallet: Wallet): wallet is Wallet & UptoWallet {
  return wallet.signUptoPermit !== undefined && wallet.signTokenPermit !== undefined;
}

export function approvalOf(network: string, asset: string, from: string): PermitApproval {
  return { network, from, to: asset, data: approvePermit2(), spender: PERMIT2 };
}
