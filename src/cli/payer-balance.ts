/** What a payer has left: USDC of a wallet read from a node, or the balance of a key read from its gateway. */

import { formatDecimal } from '../core/money.ts';

export interface PayerBalance {
  /** Decimal. */
  readonly balance: string;
  readonly currency: string;
}

const TIMEOUT_MS = 10_000;
const BALANCE_OF = '0x70a08231';

/** USDC of an address, by `balanceOf` (ERC-20) at the latest block; null when the node does not say. */
export async function walletBalance(
  rpcUrl: string,
  asset: string,
  address: string,
): Promise<PayerBalance | null> {
  const data = BALANCE_OF + address.slice(2).toLowerCase().padStart(64, '0');
  const call = {
    jsonrpc: '2.0',
    id: 1,
    method: 'eth_call',
    params: [{ to: asset, data }, 'latest'],
  };
  const answer = await readJson(rpcUrl, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(call),
  });
  const { result } = answer ?? {};
  if (typeof result !== 'string' || !/^0x[0-9a-f]{1,64}$/i.test(result)) return null;
  return { balance: formatDecimal(BigInt(result), 6), currency: 'USDC' };
}

/** The balance of a prepaid key at the gateway that serves `url`; null when it does not say. */
export async function keyBalance(url: string, apiKey: string): Promise<PayerBalance | null> {
  const answer = await readJson(new URL('/_pay/balance', url).href, {
    headers: { 'x-api-key': apiKey },
    redirect: 'error',
  });
  if (typeof answer?.balance !== 'string' || !/^-?\d+(?:\.\d+)?$/.test(answer.balance)) return null;
  return { balance: answer.balance, currency: 'USD' };
}

/** Never throws: the payment is made, and a balance that can't be read must not hide its result. */
async function readJson(url: string, init: RequestInit): Promise<Record<string, unknown> | null> {
  try {
    const response = await fetch(url, { ...init, signal: AbortSignal.timeout(TIMEOUT_MS) });
    const value: unknown = response.ok ? await response.json() : null;
    return typeof value === 'object' ? (value as Record<string, unknown> | null) : null;
  } catch {
    return null;
  }
}
