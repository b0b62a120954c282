/** The wallet has not let Permit2 spend its token (x402 v2, Permit2: 412). */

import { approvePermit2, PERMIT2 } from '../../chains/evm/sign-permit2.ts';
import { CoinslotError } from '../../core/errors.ts';
import type { X402Asset } from './network.ts';

/** Nothing was charged and nothing ran; the very same payment is good once the wallet has approved Permit2. */
export class AllowanceMissing extends CoinslotError {
  readonly code = 'permit2_allowance_required';
  readonly status = 412;
  override readonly retryable = true;
  readonly hint: string;
  constructor(asset: X402Asset, allowance: bigint, needed: bigint, sponsored: boolean) {
    super(
      `Permit2 may take ${allowance} atoms of ${asset.symbol} from this wallet, and the payment needs ${needed}.`,
    );
    const approve = `send ${asset.address} the calldata ${approvePermit2()}, which is approve(${PERMIT2}, 2^256-1)`;
    this.hint = sponsored
      ? `Once, from this wallet: ${approve}; or sign a permit of EIP-2612 for Permit2 as the extension eip2612GasSponsoring says.`
      : `Once, from this wallet: ${approve}. Then send the same payment again.`;
  }
}
