/** The receipt of a `transferWithAuthorization` (EIP-3009) that succeeded, made from the raw transaction. */

import { AUTHORIZATION_USED, TRANSFER } from '../../src/chains/evm/contract-calls.ts';

/** Selector of the form with v, r and s, followed by the padding of the first address. */
const CALL = `e3ee160e${'0'.repeat(24)}`;
const WORD = 64;

/** `raw` is the signed transaction in hex; `sender` paid its gas. */
export function receiptOf(raw: string, hash: string, sender: string, block: number): object {
  const at = raw.indexOf(CALL);
  if (at < 0) throw new Error('only transferWithAuthorization is mined here');
  const word = (index: number): string => raw.slice(at + 8 + index * WORD, at + 8 + ++index * WORD);
  const place = {
    blockNumber: `0x${block.toString(16)}`,
    blockHash: `0x${block.toString(16).padStart(64, '0')}`,
    transactionHash: hash,
    transactionIndex: '0x0',
  };
  const [from, to, value, nonce] = [word(0), word(1), word(2), word(5)];
  const log = { ...place, address: tokenOf(raw, at), removed: false };
  return {
    ...place,
    type: '0x2',
    status: '0x1',
    from: sender,
    to: log.address,
    contractAddress: null,
    gasUsed: '0x14f5e',
    cumulativeGasUsed: '0x14f5e',
    effectiveGasPrice: '0xf4240',
    logsBloom: `0x${'0'.repeat(512)}`,
    logs: [
      {
        ...log,
        logIndex: '0x0',
        topics: [AUTHORIZATION_USED, `0x${from}`, `0x${nonce}`],
        data: '0x',
      },
      { ...log, logIndex: '0x1', topics: [TRANSFER, `0x${from}`, `0x${to}`], data: `0x${value}` },
    ],
  };
}

/** RLP: 94 and the token's address, 80 for no value, then the head of the data (b9 and two bytes). */
function tokenOf(raw: string, at: number): string {
  return `0x${raw.slice(at - 6 - 2 - 40, at - 6 - 2)}`;
}
