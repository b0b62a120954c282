import { PERMIT2, permit2Separator, UPTO_PROXY } from '../chains/evm/sign-permit2.ts';
import permit2 from './contracts/permit2.json' with { type: 'json' };
import uptoProxy from './contracts/upto-proxy.json' with { type: 'json' };
import type { RpcCall } from './json-rpc.ts';

/** Puts Permit2 and the stand-in for the upto proxy at their canonical addresses: only code, no transaction. */
export function x402ContractCalls(chainId: number): RpcCall[] {
  return [
    { method: 'anvil_setCode', params: [PERMIT2, permit2Code(BigInt(chainId))] },
    { method: 'anvil_setCode', params: [UPTO_PROXY, uptoProxy.uptoProxy] },
  ];
}

/** Permit2 keeps the chain's id and its EIP-712 separator in its code, where its constructor wrote them. */
function permit2Code(chainId: bigint): string {
  const code = Buffer.from(permit2.permit2.slice(2), 'hex');
  code.write(chainId.toString(16).padStart(64, '0'), permit2.chainIdAt, 'hex');
  code.set(permit2Separator(chainId), permit2.domainSeparatorAt);
  return `0x${code.toString('hex')}`;
}
