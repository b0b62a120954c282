/** What the token and Multicall3 return when every wallet is rich and every transfer succeeds. */

import {
  DOMAIN_SEPARATOR,
  GET_BLOCK_NUMBER,
  GET_BLOCK_TIMESTAMP,
  MULTICALL3,
  word,
} from '../../src/chains/evm/contract-calls.ts';
import { domainSeparator } from '../../src/chains/evm/sign.ts';
import { USDC } from '../../src/rails/x402/protocol.ts';

const token = USDC.get('eip155:84532');
if (token === undefined) throw new Error('USDC on Base Sepolia is not known');
const TOKEN = token.asset.toLowerCase();
const SEPARATOR = Buffer.from(
  domainSeparator({ ...token, verifyingContract: token.asset }),
).toString('hex');

const AGGREGATE3 = '82ad56cb';
const BALANCE_OF = '70a08231';
const AUTHORIZATION_STATE = 'e94a0102';
const TRANSFER_WITH_AUTHORIZATION = new Set(['e3ee160e', 'cf092995']);
const WORD = 64;

export function contractCodeOf(address: string): string {
  const isContract = [TOKEN, MULTICALL3].includes(address.toLowerCase());
  return isContract ? '0x6080604052' : '0x';
}

/** The result of `eth_call`. Throws on a function that it does not know. */
export function answerCall({ data }: { to: string; data: string }, block: number): string {
  const calldata = data.slice(2);
  return `0x${calldata.startsWith(AGGREGATE3) ? answerAll(calldata, block) : answerOne(calldata, block)}`;
}

function answerOne(calldata: string, block: number): string {
  const selector = calldata.slice(0, 8);
  if (selector === GET_BLOCK_NUMBER) return word(BigInt(block));
  if (selector === GET_BLOCK_TIMESTAMP) return word(BigInt(Math.floor(Date.now() / 1000)));
  if (selector === BALANCE_OF) return word(10n ** 15n);
  if (selector === AUTHORIZATION_STATE) return word(0n);
  if (selector === DOMAIN_SEPARATOR) return SEPARATOR;
  if (TRANSFER_WITH_AUTHORIZATION.has(selector)) return '';
  throw new Error(`the function ${selector} is not known`);
}

/** `aggregate3((address,bool,bytes)[])`: each result is `(bool,bytes)`. */
function answerAll(calldata: string, block: number): string {
  const list = calldata.slice(8 + WORD);
  const count = numberAt(list, 0);
  let offsets = '';
  let elements = '';
  for (let i = 0; i < count; i++) {
    const element = WORD + 2 * numberAt(list, WORD + i * WORD);
    const bytes = element + 2 * numberAt(list, element + 2 * WORD);
    const length = 2 * numberAt(list, bytes);
    const result = answerOne(list.slice(bytes + WORD, bytes + WORD + length), block);
    offsets += word(BigInt(32 * count + elements.length / 2));
    elements += word(1n) + word(64n) + word(BigInt(result.length / 2)) + result;
  }
  return word(32n) + word(BigInt(count)) + offsets + elements;
}

function numberAt(hex: string, at: number): number {
  return Number.parseInt(hex.slice(at, at + WORD), 16);
}
