import { encodeFunctionData, keccak256, pad, parseAbi, toHex } from 'viem/utils';
import fiatToken from './contracts/fiat-token.json' with { type: 'json' };
import multicall from './contracts/multicall3.json' with { type: 'json' };
import { type RpcCall, rpcBatch } from './json-rpc.ts';

export type Hex = `0x${string}`;

/** Where Circle's USDC lives on the two chains, and the EIP-712 domain name it signs under there. */
export const USDC = {
  8453: { address: '0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913', name: 'USD Coin' },
  84532: { address: '0x036CbD53842c5426634e7929541eC2318f3dCF7e', name: 'USDC' },
} as const;

/** The address of Multicall3 on every chain. */
export const MULTICALL3: Hex = '0xcA11bde05977b3631167028862bE2a173976CA11';

/** Owner, minter and every other office of the devnet's token; anvil signs for it, nobody has its key. */
const ISSUER = addressOf('issuer');
const PROXY_ADMIN = addressOf('proxy admin');
const IMPLEMENTATION = addressOf('FiatTokenV2_2');
const SIGNATURE_CHECKER = addressOf('SignatureChecker');

const MINTABLE = 2n ** 200n;
const ETHER = 10n ** 18n;

const ABI = parseAbi([
  'function initialize(string name, string symbol, string currency, uint8 decimals, address masterMinter, address pauser, address blacklister, address owner)',
  'function initializeV2(string name)',
  'function initializeV2_1(address lostAndFound)',
  'function initializeV2_2(address[] blacklist, string symbol)',
  'function configureMinter(address minter, uint256 allowance)',
  'function mint(address to, uint256 amount)',
  'function balanceOf(address account) view returns (uint256)',
]);

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
    ...funded.map((account) => call('anvil_setBalance', account, toHex(10_000n * ETHER))),
    call('anvil_impersonateAccount', ISSUER),
  ]);
  const setUp: Hex[] = [
    encodeFunctionData({
      abi: ABI,
      functionName: 'initialize',
      args: [name, 'USDC', 'USD', 6, ISSUER, ISSUER, ISSUER, ISSUER],
    }),
    encodeFunctionData({ abi: ABI, functionName: 'initializeV2', args: [name] }),
    encodeFunctionData({ abi: ABI, functionName: 'initializeV2_1', args: [ISSUER] }),
    encodeFunctionData({ abi: ABI, functionName: 'initializeV2_2', args: [[], 'USDC'] }),
    encodeFunctionData({ abi: ABI, functionName: 'configureMinter', args: [ISSUER, MINTABLE] }),
    ...accounts.map((account) => mintData(account, atomsEach)),
  ];
  // The nonces keep the order; the batch itself runs side by side and answers when all are mined.
  const receipts = await rpcBatch(
    rpcUrl,
    setUp.map((data, nonce) => sendCall(address, data, nonce)),
  );
  for (const receipt of receipts) checkReceipt(receipt);
}

/** Mints USDC atoms to an address; resolves when the block is there. */
export async function mintUsdc(
  rpcUrl: string,
  asset: Hex,
  to: string,
  atoms: bigint,
): Promise<void> {
  const [receipt] = await rpcBatch(rpcUrl, [sendCall(asset, mintData(to as Hex, atoms))]);
  checkReceipt(receipt);
}

/** The USDC atoms of an address in the latest block. */
export async function readUsdcBalance(
  rpcUrl: string,
  asset: Hex,
  address: string,
): Promise<bigint> {
  const data = encodeFunctionData({
    abi: ABI,
    functionName: 'balanceOf',
    args: [address as Hex],
  });
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
    call('anvil_setStorageAt', usdc, proxySlot('implementation'), pad(IMPLEMENTATION)),
    call('anvil_setStorageAt', usdc, proxySlot('admin'), pad(PROXY_ADMIN)),
  ];
}

/** FiatTokenProxy keeps its two fields where ZeppelinOS put them, before EIP-1967. */
function proxySlot(field: 'implementation' | 'admin'): Hex {
  return keccak256(toHex(`org.zeppelinos.proxy.${field}`));
}

function addressOf(what: string): Hex {
  return `0x${keccak256(toHex(`coinslot devnet ${what}`)).slice(-40)}`;
}

function mintData(to: Hex, atoms: bigint): Hex {
  return encodeFunctionData({ abi: ABI, functionName: 'mint', args: [to, atoms] });
}

function sendCall(to: Hex, data: Hex, nonce?: number): RpcCall {
  const fields = { from: ISSUER, to, data, gas: toHex(1_000_000) };
  return call(
    'eth_sendTransactionSync',
    nonce === undefined ? fields : { ...fields, nonce: toHex(nonce) },
  );
}

function call(method: string, ...params: readonly unknown[]): RpcCall {
  return { method, params };
}

function checkReceipt(receipt: unknown): void {
  if ((receipt as { status?: string } | null)?.status !== '0x1')
    throw new Error(`a transaction of the devnet's issuer failed: ${JSON.stringify(receipt)}`);
}
