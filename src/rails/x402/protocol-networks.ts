/** Names of networks in v1 and v2, and the tokens that we count as dollars. */

export interface UsdcToken {
  /** CAIP-2. */
  readonly network: string;
  readonly v1Name: string;
  readonly chainId: bigint;
  readonly asset: `0x${string}`;
  /** EIP-712 domain name: not the same on both networks. */
  readonly name: string;
  /** EIP-712 domain version. */
  readonly version: string;
  readonly decimals: 6;
  readonly symbol: 'USDC';
  readonly testnet: boolean;
  readonly displayName: string;
}

/** USDC by CAIP-2 network, with the exact EIP-712 domain that each contract has on its chain. */
export const USDC: ReadonlyMap<string, UsdcToken> = new Map(
  (
    [
      {
        network: 'eip155:8453',
        v1Name: 'base',
        chainId: 8453n,
        asset: '0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913',
        name: 'USD Coin',
        version: '2',
        decimals: 6,
        symbol: 'USDC',
        testnet: false,
        displayName: 'Base',
      },
      {
        network: 'eip155:84532',
        v1Name: 'base-sepolia',
        chainId: 84532n,
        asset: '0x036CbD53842c5426634e7929541eC2318f3dCF7e',
        name: 'USDC',
        version: '2',
        decimals: 6,
        symbol: 'USDC',
        testnet: true,
        displayName: 'Base Sepolia',
      },
    ] satisfies UsdcToken[]
  ).map((token) => [token.network, token]),
);

const SOLANA = 'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp';
const SOLANA_DEVNET = 'solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1';

const NETWORK_BY_V1_NAME: ReadonlyMap<string, string> = new Map([
  ['base', 'eip155:8453'],
  ['base-sepolia', 'eip155:84532'],
  ['polygon', 'eip155:137'],
  ['polygon-amoy', 'eip155:80002'],
  ['avalanche', 'eip155:43114'],
  ['avalanche-fuji', 'eip155:43113'],
  ['iotex', 'eip155:4689'],
  ['sei', 'eip155:1329'],
  ['sei-testnet', 'eip155:1328'],
  ['peaq', 'eip155:3338'],
  ['abstract', 'eip155:2741'],
  ['abstract-testnet', 'eip155:11124'],
  ['story', 'eip155:1514'],
  ['educhain', 'eip155:41923'],
  ['skale-base-sepolia', 'eip155:324705682'],
  ['solana', SOLANA],
  ['solana-devnet', SOLANA_DEVNET],
]);

const V1_NAME_BY_NETWORK: ReadonlyMap<string, string> = new Map(
  [...NETWORK_BY_V1_NAME].map(([name, network]) => [network, name]),
);

const ALIASES: ReadonlyMap<string, string> = new Map([
  ['solana:mainnet', SOLANA],
  ['solana:devnet', SOLANA_DEVNET],
]);

/** The CAIP-2 id of a v1 network name such as `base-sepolia`. */
export function networkOfV1Name(name: string): string | undefined {
  return NETWORK_BY_V1_NAME.get(name);
}

/** The v1 name of a CAIP-2 network; undefined for one that v1 never knew. */
export function v1NameOf(network: string): string | undefined {
  return V1_NAME_BY_NETWORK.get(canonicalNetwork(network));
}

/** The CAIP-2 id for itself, for an alias such as `solana:mainnet`, and for a v1 name; unknown text is returned as it is. */
export function canonicalNetwork(network: string): string {
  return ALIASES.get(network) ?? NETWORK_BY_V1_NAME.get(network) ?? network;
}
