import { balanceOf, MULTICALL3, wordOfHex } from '../chains/evm/contract-calls.ts';
import type { Hex } from '../chains/evm/sign.ts';
import { calldata, keccakText } from './calldata.ts';
import fiatToken from './contracts/fiat-token.json' with { type: 'json' };
import multicall from './contracts/multicall3.json' with { type: 'json' };
import { type RpcCall, rpcBatch } from './json-rpc.ts';

/** Where Circle's USDC lives on the two chains, and the EIP-712 domain name it signs under there. */
export const USDC = {
  8453: { address: '0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913', name: 'USD Coin' },
  84532: { address: '0x036CbD53842c5426634e7929541eC2318f3dCF7e', name: 'USDC' },
} as const;

/** Owner, minter and every other office of the devnet's token; anvil signs for it, nobody has its key. */
const ISSUER = addressOf('issuer');
const PROXY_ADMIN = addressOf('proxy admin');
const IMPLEMENTATION = addressOf('FiatTokenV2_2');
const SIGNATURE_CHECKER = addressOf('SignatureChecker');

/** The blocks of the issuer's transactions are there by then. */
const MINED_MS = 30_000;
const MINTABLE = 2n ** 200n;
const ETHER = 10n ** 18n;

/** Puts Circle's token and Multicall3 at their real addresses, and gives every account ETH and USDC. */
export async function placeUsdc(
  rpcUrl: string,
  chainId: keyof typeof USDC,
  accounts: readonly Hex[],
  atomsEach: bigint,
): Promise<void> {
  const { address, name } = USDC[chainId];
  const funded = [ISSUER, ...accounts];
  await rpcBatch(rpcUrl, [
    { method: 'anvil_setLoggingEnabled', params: [false] },
    ...codeCalls(address),
    ...funded.map((account) => call('anvil_setBalance', account, quantity(10_000n * ETHER))),
    call('anvil_impersonateAccount', ISSUER),
  ]);
  const office = ISSUER;
  const setUp: Hex[] = [
    calldata(
      'initialize(string,string,string,uint8,address,address,address,address)',
      ...[name, 'USDC', 'USD', 6n, office, office, office, office],
    ),
    calldata('initializeV2(string)', name),
    calldata('initializeV2_1(address)', office),
    calldata('initializeV2_2(address[],string)', [], 'USDC'),
    calldata('configureMinter(address,uint256)', office, MINTABLE),
    ...accounts.map((account) => mintData(account, atomsEach)),
  ];
  // The nonces keep the order: the batch itself runs side by side.
  await sendMined(
    rpcUrl,
    setUp.map((data, nonce) => sendCall(address, data, nonce)),
  );
}

/** Mints USDC atoms to an address; resolves when the block is there. */
export async function mintUsdc(
  rpcUrl: string,
  asset: Hex,
  to: string,
  atoms: bigint,
): Promise<void> {
  await sendMined(rpcUrl, [sendCall(asset, mintData(to as Hex, atoms))]);
}

/** The USDC atoms of an address in the latest block. */
export async function readUsdcBalance(
  rpcUrl: string,
  asset: Hex,
  address: string,
): Promise<bigint> {
  const data = `0x${balanceOf(address as Hex)}`;
  const [balance] = await rpcBatch(rpcUrl, [call('eth_call', { to: asset, data }, 'latest')]);
  return BigInt(String(balance));
}

function codeCalls(usdc: Hex): RpcCall[] {
  const library = SIGNATURE_CHECKER.slice(2).toLowerCase();
  let token: string = fiatToken.fiatTokenV2_2;
  for (const at of fiatToken.signatureCheckerAt)
    token = token.slice(0, 2 + at * 2) + library + token.slice(2 + at * 2 + library.length);
  // A deployed library starts with PUSH20 of its own address, which its constructor fills in.
  const checker = `0x73${library}${fiatToken.signatureChecker.slice(4 + library.length)}`;
  return [
    call('anvil_setCode', MULTICALL3, multicall.multicall3),
    call('anvil_setCode', SIGNATURE_CHECKER, checker),
    call('anvil_setCode', IMPLEMENTATION, token),
    call('anvil_setCode', usdc, fiatToken.fiatTokenProxy),
    call('anvil_setStorageAt', usdc, proxySlot('implementation'), storageWord(IMPLEMENTATION)),
    call('anvil_setStorageAt', usdc, proxySlot('admin'), storageWord(PROXY_ADMIN)),
  ];
}

/** FiatTokenProxy keeps its two fields where ZeppelinOS put them, before EIP-1967. */
function proxySlot(field: 'implementation' | 'admin'): Hex {
  return keccakText(`org.zeppelinos.proxy.${field}`);
}

function addressOf(what: string): Hex {
  return `0x${keccakText(`coinslot devnet ${what}`).slice(-40)}`;
}

function storageWord(address: Hex): Hex {
  return `0x${wordOfHex(address)}`;
}

function quantity(value: bigint): Hex {
  return `0x${value.toString(16)}`;
}

function mintData(to: Hex, atoms: bigint): Hex {
  return calldata('mint(address,uint256)', to, atoms);
}

function sendCall(to: Hex, data: Hex, nonce?: number): RpcCall {
  const fields = { from: ISSUER, to, data, gas: quantity(1_000_000n) };
  return call(
    'eth_sendTransaction',
    nonce === undefined ? fields : { ...fields, nonce: quantity(BigInt(nonce)) },
  );
}

function call(method: string, ...params: readonly unknown[]): RpcCall {
  return { method, params };
}

/** anvil's own call that waits for the block misses it now and then, and gives up after half a minute. */
async function sendMined(rpcUrl: string, sends: readonly RpcCall[]): Promise<void> {
  const deadlineMs = Date.now() + MINED_MS;
  let waiting = await rpcBatch(rpcUrl, sends);
  while (waiting.length > 0) {
    const hashes = waiting;
    const receipts = await rpcBatch(
      rpcUrl,
      hashes.map((hash) => call('eth_getTransactionReceipt', hash)),
    );
    for (const receipt of receipts) if (receipt !== null) checkReceipt(receipt);
    waiting = hashes.filter((_, index) => receipts[index] === null);
    if (waiting.length === 0) return;
    if (Date.now() > deadlineMs)
      throw new Error(`${waiting.length} transactions of the devnet's issuer were not mined`);
    await rpcBatch(rpcUrl, [call('evm_mine')]);
  }
}

function checkReceipt(receipt: unknown): void {
  if ((receipt as { status?: string } | null)?.status !== '0x1')
    throw new Error(`a transaction of the devnet's issuer failed: ${JSON.stringify(receipt)}`);
}
