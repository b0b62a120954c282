/** One EVM network on which the rail takes payments: its token, its nodes, and who settles there. */

import { type EvmChain, openEvmChain } from '../../chains/evm/open-evm-chain.ts';
import { createReceiptWatcher, type ReceiptWatcher } from '../../chains/evm/receipt-watcher.ts';
import { domainSeparator, type Hex, toChecksumAddress } from '../../chains/evm/sign.ts';
import { createSubmitter, type Submitter } from '../../chains/evm/submitter.ts';
import type { SignedTransaction } from '../../chains/evm/transaction.ts';
import type { Clock } from '../../core/clock.ts';
import type { Log } from '../../core/log.ts';
import type { Ledger } from '../../core/ports/ledger.ts';
import type { X402Config, X402NetworkConfig } from './config.ts';
import type { FacilitatorClient } from './facilitator.ts';
import { createLiveness, type Liveness } from './liveness.ts';
import { USDC, v1NameOf } from './protocol.ts';
import { createUptoSupport, type UptoSupport } from './upto-support.ts';

export interface X402Network {
  /** CAIP-2. */
  readonly id: string;
  readonly chainId: bigint;
  /** Undefined for a network that v1 never knew. */
  readonly v1Name: string | undefined;
  readonly displayName: string;
  readonly asset: X402Asset;
  /** With its checksum. */
  readonly payTo: Hex;
  /** EIP-712 separator of the token, computed once. */
  readonly separator: Uint8Array;
  readonly confirmations: number;
  /** How far behind the newest block what settled is looked for again; 0: never. */
  readonly recheckBlocks: number;
  /** Wei that one unit of gas may cost. */
  readonly feePerGasMax: bigint;
  readonly chain: EvmChain;
  readonly watcher: ReceiptWatcher;
  /** Who settles: our own key, or the remote facilitators. */
  readonly submitter: Submitter | null;
  /** Null without an own key, which alone can settle upto. */
  readonly upto: UptoSupport | null;
  /** The facilitator that served this network when it was last asked. */
  facilitator(): string | null;
  /** That facilitator gave no usable answer: new payments go to the others first, for a while. */
  facilitatorFailed(url: string): void;
  readonly liveness: Liveness;
}

export interface X402Asset {
  /** CAIP-19, in lower case. */
  readonly id: string;
  /** With its checksum. */
  readonly address: Hex;
  readonly name: string;
  readonly version: string;
  readonly decimals: number;
  readonly symbol: string;
}

export interface NetworkParts {
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly log: Log;
  readonly facilitators: FacilitatorClient;
  readonly confirmations: number;
  readonly openChain?: typeof openEvmChain;
}

/** The gateway and the chain may disagree about the time by this much. */
export const CLOCK_SKEW_MAX_MS = 30_000;

/** Coin for this much gas must be there before work is sold. */
const GAS_RESERVE = 150_000n;
const SUPPORTED_FRESH_MS = 60_000;

/** Opens a configured network; nothing is asked until the first offer. */
export function openNetwork(
  id: string,
  payTo: X402Config['payTo'],
  config: X402NetworkConfig,
  parts: NetworkParts,
): X402Network {
  const chainId = BigInt(id.slice('eip155:'.length));
  const asset = assetOf(id, config);
  const chain = (parts.openChain ?? openEvmChain)({ chainId, urls: listOf(config.rpc) });
  const confirmations = config.confirmations ?? parts.confirmations;
  const submitter =
    config.settleWith === undefined
      ? null
      : openSubmitter(id, chain, config.settleWith as Hex, parts);
  const separator = domainSeparator({ ...asset, chainId, verifyingContract: asset.address });
  const urls = listOf(config.facilitator ?? []).map((url) => url.replace(/\/+$/, ''));
  const chooser = chooseFacilitator(urls, id, parts);
  const probe = createProbe({ id, chain, asset, separator, submitter, chooser }, parts.clock);
  return {
    id,
    chainId,
    v1Name: v1NameOf(id),
    displayName: USDC.get(id)?.displayName ?? id,
    asset,
    payTo: toChecksumAddress(payTo.eip155 as Hex),
    separator,
    confirmations,
    recheckBlocks: config.recheckBlocks,
    feePerGasMax: BigInt(config.maxFeeGwei) * 1_000_000_000n,
    chain,
    watcher: createReceiptWatcher(chain, { pollMs: config.pollMs, confirmations }),
    submitter,
    upto: submitter === null ? null : createUptoSupport(chain, submitter.address, parts.clock),
    facilitator: () => chooser.current(),
    facilitatorFailed: (url) => chooser.failed(url),
    liveness: createLiveness(probe, parts.clock, (problem) => {
      if (problem === null) parts.log.info({ network: id }, 'x402 takes payments here');
      else parts.log.warn({ network: id, problem }, 'x402 takes no payments here');
    }),
  };
}

/** The token of a network: what the config says, else its well-known USDC. */
export function assetOf(id: string, config: X402NetworkConfig): X402Asset {
  const token = config.asset;
  const usdc = USDC.get(id);
  const known = token ?? (usdc === undefined ? undefined : { ...usdc, address: usdc.asset });
  if (known === undefined) throw new Error(`the token of ${id} is not configured`);
  const { name, version, decimals, symbol } = known;
  const address = toChecksumAddress(known.address as Hex);
  return {
    id: `${id}/erc20:${address.toLowerCase()}`,
    ...{ address, name, version, decimals, symbol },
  };
}

function openSubmitter(
  network: string,
  chain: EvmChain,
  privateKey: Hex,
  { ledger, log }: NetworkParts,
): Submitter {
  return createSubmitter({
    ...{ chain, privateKey, log },
    storedNonce: (sender) => ledger.nextNonce(network, sender),
    storedTransactions: async (sender) => {
      const jobs = (await ledger.openJobs()).filter((job) => job.network === network);
      return jobs
        .map((job) => job.transaction as SignedTransaction | undefined)
        .filter((transaction) => transaction !== undefined)
        .filter((transaction) => transaction.sender === sender);
    },
  });
}

interface FacilitatorChooser {
  current(): string | null;
  failed(url: string): void;
  /** Null once a facilitator serves the network, else why none does. */
  problem(): Promise<string | null>;
}

/** The first facilitator that serves the network; an open payment stays with the one that it was shown to. */
function chooseFacilitator(
  urls: readonly string[],
  id: string,
  { clock, facilitators }: NetworkParts,
): FacilitatorChooser {
  const names = [id, v1NameOf(id) ?? id];
  let current: string | null = null;
  let askedAtMs = Number.NEGATIVE_INFINITY;
  const failedAtMs = new Map<string, number>();
  const failedLately = (url: string): boolean =>
    clock.now() - (failedAtMs.get(url) ?? Number.NEGATIVE_INFINITY) < SUPPORTED_FRESH_MS;
  return {
    current: () => current,
    failed(url) {
      failedAtMs.set(url, clock.now());
      if (url === current) current = null;
    },
    async problem() {
      if (urls.length === 0) return null;
      if (current !== null && clock.now() - askedAtMs < SUPPORTED_FRESH_MS) return null;
      let problem = '';
      const inOrder = [...urls].sort((a, b) => Number(failedLately(a)) - Number(failedLately(b)));
      for (const url of inOrder) {
        try {
          if (await facilitators.supports(url, names)) {
            [current, askedAtMs] = [url, clock.now()];
            return null;
          }
          problem = `the facilitator does not serve exact on ${id}`;
        } catch (error) {
          problem = error instanceof Error ? error.message : String(error);
        }
      }
      current = null;
      return problem;
    },
  };
}

interface Probed {
  readonly id: string;
  readonly chain: EvmChain;
  readonly asset: X402Asset;
  readonly separator: Uint8Array;
  readonly submitter: Submitter | null;
  readonly chooser: FacilitatorChooser;
}

function createProbe(network: Probed, clock: Clock): () => Promise<string | null> {
  const { chain, asset, submitter } = network;
  let tokenChecked = false;
  return async () => {
    const [head, separator, coin, fees, facilitator] = await Promise.all([
      chain.head(),
      tokenChecked ? null : chain.domainSeparator(asset.address),
      submitter === null ? null : chain.coinBalance(submitter.address),
      submitter === null ? null : chain.fees(),
      network.chooser.problem(),
    ]);
    if (head.chainId !== chain.chainId)
      return `rpc belongs to eip155:${head.chainId}, not to ${network.id}`;
    if (Math.abs(head.timestampMs - clock.now()) > CLOCK_SKEW_MAX_MS)
      return 'the newest block and the clock of this machine are more than 30 s apart';
    if (separator !== null && separator !== hexOf(network.separator))
      return `${asset.address} signs under another EIP-712 domain than "${asset.name}" version "${asset.version}"`;
    tokenChecked = true;
    if (coin !== null && fees !== null && coin < GAS_RESERVE * fees.maxFeePerGas)
      return `the settlement key ${submitter?.address} cannot pay gas: send it some coin`;
    return facilitator;
  };
}

function hexOf(bytes: Uint8Array): string {
  return `0x${Buffer.from(bytes).toString('hex')}`;
}

function listOf(value: string | readonly string[]): readonly string[] {
  return typeof value === 'string' ? [value] : value;
}
