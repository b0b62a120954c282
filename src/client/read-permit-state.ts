/** Asks a node what Permit2 may take of a wallet, and for the wallet's next permit. */

import type { Hex } from '../chains/evm/sign.ts';
import { permit2Allowance, tokenPermitNonce } from '../chains/evm/sign-permit2.ts';
import type { Fetch } from './replayable-request.ts';
import type { ReadPermitState } from './sign-payment.ts';

const TIMEOUT_MS = 10_000;
const NUMBER = /^0x[0-9a-f]{1,64}$/i;

/** `rpc`: a node's URL by CAIP-2 network. Answers null where none is named, or it does not answer. */
export function readPermitStateBy(
  rpc: Readonly<Record<string, string>>,
  fetch: Fetch,
): ReadPermitState {
  return async (network, asset, account) => {
    const url = rpc[network];
    if (url === undefined) return null;
    const calls = [permit2Allowance(account as Hex), tokenPermitNonce(account as Hex)];
    try {
      const [allowance, nonce] = await Promise.all(
        calls.map((data) => ask(fetch, url, { to: asset, data })),
      );
      return allowance === undefined || nonce === undefined ? null : { allowance, nonce };
    } catch {
      // Not known is not refused: the server says 412 if the wallet has not approved Permit2.
      return null;
    }
  };
}

async function ask(fetch: Fetch, url: string, call: object): Promise<bigint | undefined> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'eth_call', params: [call, 'latest'] }),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const { result } = (await response.json()) as { readonly result?: unknown };
  return typeof result === 'string' && NUMBER.test(result) ? BigInt(result) : undefined;
}
