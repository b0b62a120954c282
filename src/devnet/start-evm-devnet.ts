import { addressOfPrivateKey, type Hex } from '../chains/evm/sign.ts';
import { type AnvilProcess, findAnvil, startAnvil } from './anvil-process.ts';
import { keccakText } from './calldata.ts';
import { rpcBatch } from './json-rpc.ts';
import { mintUsdc, placeUsdc, readUsdcBalance, USDC } from './usdc.ts';
import { x402ContractCalls } from './x402-contracts.ts';

export interface DevnetAccount {
  readonly address: Hex;
  /** Known to everybody: the same on every devnet. Never use it on a public chain. */
  readonly privateKey: Hex;
}

export interface EvmDevnetOptions {
  /** 8453 is Base, 84532 is Base Sepolia. Default 8453. */
  readonly chainId?: 8453 | 84532;
  /** 0 or omitted: a free port. */
  readonly port?: number;
  /** Default 12. */
  readonly accountsCount?: number;
  /**
   * An empty block is mined this often, so that chain time stays fresh; transactions are mined at once. Default 1.
   * Below 3, anvil keeps the states of 1,500 blocks (some 400 MB after half an hour): take 3 for a chain that stays up.
   */
  readonly blockTimeSeconds?: number;
}

export interface EvmDevnet {
  readonly network: 'eip155:8453' | 'eip155:84532';
  readonly chainId: 8453 | 84532;
  readonly rpcUrl: string;
  /** The USDC contract, where it is on the public chain. */
  readonly asset: Hex;
  /** Each holds 10,000 USDC and 10,000 ETH at the start. */
  readonly accounts: readonly DevnetAccount[];
  readonly pid: number;
  /** Mints USDC atoms (6 decimals); resolves when the block is there. */
  mint(address: string, amount: bigint): Promise<void>;
  /** USDC atoms in the latest block. */
  usdcBalance(address: string): Promise<bigint>;
  /** One JSON-RPC call, anvil's own methods included; throws `RpcError`. */
  rpc(method: string, params?: readonly unknown[]): Promise<unknown>;
  /** Suspends the chain: connections stay open and nothing answers until `thaw`. */
  freeze(): void;
  thaw(): void;
  /** Resolves once the chain's process is gone, whoever ended it. */
  readonly ended: Promise<void>;
  /** Ends the chain; resolves once its process is gone. */
  close(): Promise<void>;
}

const USDC_ATOMS_EACH = 10_000_000_000n;

/** Blocks that `eth_call` can look back; all in memory, so that a killed chain leaves no files behind. */
const STATES_MAX = 128;

/** Starts a real EVM with Circle's USDC, Multicall3, Permit2 and the x402 upto proxy at their real addresses; throws `AnvilMissing`, `AnvilFailed`. */
export async function startEvmDevnet(options: EvmDevnetOptions = {}): Promise<EvmDevnet> {
  const { chainId = 8453, port = 0, accountsCount = 12, blockTimeSeconds = 1 } = options;
  const flags = ['--chain-id', String(chainId), '--accounts', '0'];
  flags.push('--block-time', String(blockTimeSeconds), '--mixed-mining');
  flags.push('--prune-history', String(STATES_MAX));
  const anvil = await startAnvil(findAnvil(), flags, port);
  try {
    const accounts = Array.from({ length: accountsCount }, (_, index) => devnetAccount(index));
    const addresses = accounts.map((account) => account.address);
    await Promise.all([
      placeUsdc(anvil.rpcUrl, chainId, addresses, USDC_ATOMS_EACH),
      rpcBatch(anvil.rpcUrl, x402ContractCalls(chainId)),
    ]);
    return evmDevnet(anvil, chainId, accounts);
  } catch (error) {
    await anvil.close();
    throw error;
  }
}

function evmDevnet(
  anvil: AnvilProcess,
  chainId: keyof typeof USDC,
  accounts: readonly DevnetAccount[],
): EvmDevnet {
  const { rpcUrl } = anvil;
  const asset = USDC[chainId].address;
  // One at a time: anvil gives sends that arrive together the same nonce, and only one of them would be mined.
  let minted: Promise<void> = Promise.resolve();
  const mint = (address: string, amount: bigint): Promise<void> => {
    const next = minted.then(() => mintUsdc(rpcUrl, asset, address, amount));
    minted = next.catch(() => {});
    return next;
  };
  return {
    network: `eip155:${chainId}`,
    chainId,
    rpcUrl,
    asset,
    accounts,
    pid: anvil.pid,
    mint,
    usdcBalance: (address) => readUsdcBalance(rpcUrl, asset, address),
    rpc: async (method, params = []) => (await rpcBatch(rpcUrl, [{ method, params }]))[0],
    freeze: () => anvil.freeze(),
    thaw: () => anvil.thaw(),
    ended: anvil.ended,
    close: () => anvil.close(),
  };
}

export function devnetAccount(index: number): DevnetAccount {
  const privateKey = keccakText(`coinslot devnet account ${index}`);
  return { privateKey, address: addressOfPrivateKey(privateKey) };
}
