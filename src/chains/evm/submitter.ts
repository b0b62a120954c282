/** One settlement key on one chain: signs transactions with gapless nonces, and broadcasts what was stored. */

import type { Log } from '../../core/log.ts';
import { RpcRefused, RpcUnavailable } from './json-rpc.ts';
import { createNonces, type Nonces } from './nonces.ts';
import type { EvmChain, Fees } from './open-evm-chain.ts';
import { addressOfPrivateKey, type Hex } from './sign.ts';
import { type SignedTransaction, signTransaction } from './transaction.ts';

export interface SubmitterOptions {
  readonly chain: EvmChain;
  readonly privateKey: Hex;
  /** The next nonce never used in a stored transaction of this key; null when there is none. */
  readonly storedNonce: (sender: Hex) => Promise<number | null>;
  /** Stored transactions of this key that may not be mined yet. */
  readonly storedTransactions: (sender: Hex) => Promise<readonly SignedTransaction[]>;
  readonly log: Log;
}

export interface ContractCall {
  readonly to: Hex;
  readonly data: Hex;
  readonly gasLimit: bigint;
}

/**
 * What a node said to a transaction: `accepted` (new, or known to it already), `nonce_used` (something
 * with this nonce is mined, perhaps this very one), `no_coin` (the key cannot pay the gas), `refused`, or
 * `unavailable`. None of them tells how it ends: that is read from the chain.
 */
export type BroadcastOutcome = 'accepted' | 'nonce_used' | 'no_coin' | 'refused' | 'unavailable';

/** One process per key: a second one would hand out the same nonces. */
export interface Submitter {
  /** In lower case. */
  readonly address: Hex;
  /** Signs the key's next transaction, sending nothing. Its nonce stays taken until one of the next four calls. */
  prepare(call: ContractCall): Promise<SignedTransaction>;
  /** It is stored: only now may it be broadcast. */
  keep(transaction: SignedTransaction): void;
  /** It was certainly not stored: its nonce is used again. */
  giveBack(transaction: SignedTransaction): void;
  /** Something else is stored under its nonce: the next one is taken. */
  skip(transaction: SignedTransaction): void;
  /** Nobody knows whether it was stored; asked again later. */
  doubt(transaction: SignedTransaction, isStored: () => Promise<boolean>): void;
  /** The same nonce with higher fees; `bumps` counts how often this was done. Store it before broadcasting. */
  replace(
    transaction: SignedTransaction,
    call: ContractCall,
    bumps: number,
  ): Promise<SignedTransaction>;
  /** Sends a stored transaction; repeating it is harmless. */
  broadcast(transaction: SignedTransaction): Promise<BroadcastOutcome>;
  /** Finds the nonce that everything later waits for, and sends what belongs there. */
  heal(): Promise<void>;
}

interface Doubt {
  readonly transaction: SignedTransaction;
  readonly isStored: () => Promise<boolean>;
}

/** Gas for an empty transfer to oneself; rollups need more than 21,000. Unused gas costs nothing. */
const FILLER_GAS = 100_000n;
const BUMPS_MAX = 8;
/** Every waiting payment asks for it; once in a while is enough. */
const HEAL_EVERY_MS = 250;

/** Reads nothing from the chain until the first transaction. */
export function createSubmitter(options: SubmitterOptions): Submitter {
  const { chain, privateKey, log } = options;
  const address = addressOfPrivateKey(privateKey).toLowerCase() as Hex;
  const key = Buffer.from(privateKey.slice(2), 'hex');
  const stored = new Map<number, SignedTransaction>();
  const doubts = new Map<number, Doubt>();
  let started: Promise<Nonces> | undefined;
  let healing: Promise<void> | undefined;
  let healedAtMs = Number.NEGATIVE_INFINITY;

  async function start(): Promise<Nonces> {
    const [pending, next] = await Promise.all([
      chain.transactionCount(address, 'pending'),
      options.storedNonce(address),
    ]);
    if (next !== null && next > pending)
      for (const transaction of await options.storedTransactions(address))
        stored.set(transaction.nonce, transaction);
    return createNonces(Math.max(pending, next ?? 0));
  }

  function ready(): Promise<Nonces> {
    started ??= start().catch((error: unknown) => {
      started = undefined;
      throw error;
    });
    return started;
  }

  function sign(nonce: number, call: ContractCall, fees: Fees): SignedTransaction {
    const fields = { ...call, ...fees, nonce, chainId: chain.chainId, value: 0n };
    return signTransaction(fields, address, key);
  }

  async function fill(nonces: Nonces, nonce: number): Promise<void> {
    // Taken before the first await, else a payment could take it meanwhile.
    nonces.takeFree(nonce);
    const fees = raised(await chain.fees(), 1);
    const filler = sign(nonce, { to: address, data: '0x', gasLimit: FILLER_GAS }, fees);
    const outcome = await broadcast(filler);
    log.warn({ sender: address, nonce, hash: filler.hash, outcome }, 'filled a nonce gap');
    if (outcome === 'accepted') stored.set(nonce, filler);
  }

  async function healOnce(): Promise<void> {
    const nonces = await ready();
    const [mined, pending] = await Promise.all([
      chain.transactionCount(address, 'latest'),
      chain.transactionCount(address, 'pending'),
    ]);
    nonces.advance(Math.max(mined, pending));
    for (const nonce of stored.keys()) if (nonce < mined) stored.delete(nonce);
    for (const nonce of doubts.keys()) if (nonce < mined) doubts.delete(nonce);
    const missing = Math.max(mined, pending);
    if (!nonces.isWaitedFor(missing) || nonces.isInHand(missing)) return;
    const transaction = stored.get(missing);
    if (transaction !== undefined) {
      await broadcast(transaction);
      return;
    }
    const doubt = doubts.get(missing);
    if (doubt !== undefined) {
      const isStored = await doubt.isStored();
      doubts.delete(missing);
      if (!isStored) nonces.giveBack(missing);
      else stored.set(missing, doubt.transaction);
      return;
    }
    await fill(nonces, missing);
  }

  async function broadcast(transaction: SignedTransaction): Promise<BroadcastOutcome> {
    try {
      await chain.broadcast(transaction.raw);
      return 'accepted';
    } catch (error) {
      const outcome = outcomeOf(error);
      if (outcome === 'refused' || outcome === 'no_coin')
        log.error(
          { sender: address, nonce: transaction.nonce, hash: transaction.hash, error },
          'a node refused a settlement transaction',
        );
      return outcome;
    }
  }

  return {
    address,
    async prepare(call) {
      const [nonces, fees] = await Promise.all([ready(), chain.fees()]);
      const nonce = nonces.take();
      try {
        return sign(nonce, call, fees);
      } catch (error) {
        nonces.giveBack(nonce);
        throw error;
      }
    },
    keep(transaction) {
      stored.set(transaction.nonce, transaction);
      void started?.then((nonces) => nonces.keep(transaction.nonce));
    },
    giveBack({ nonce }) {
      void started?.then((nonces) => nonces.giveBack(nonce));
    },
    skip({ nonce }) {
      void started?.then((nonces) => nonces.keep(nonce));
    },
    doubt(transaction, isStored) {
      const { nonce } = transaction;
      doubts.set(nonce, { transaction, isStored });
      void started?.then((nonces) => nonces.keep(nonce));
    },
    async replace(transaction, call, bumps) {
      return sign(transaction.nonce, call, raised(await chain.fees(), bumps));
    },
    broadcast,
    heal() {
      const nowMs = performance.now();
      if (healing === undefined && nowMs - healedAtMs < HEAL_EVERY_MS) return Promise.resolve();
      healing ??= healOnce().finally(() => {
        healedAtMs = performance.now();
        healing = undefined;
      });
      return healing;
    },
  };
}

/** A quarter more per bump: nodes take a replacement only from a tenth more on. */
function raised(fees: Fees, bumps: number): Fees {
  const raise = (wei: bigint): bigint => {
    let raisedWei = wei;
    for (let i = 0; i < Math.min(bumps, BUMPS_MAX); i++) raisedWei = (raisedWei * 5n) / 4n + 1n;
    return raisedWei;
  };
  return {
    maxFeePerGas: raise(fees.maxFeePerGas),
    maxPriorityFeePerGas: raise(fees.maxPriorityFeePerGas),
  };
}

function outcomeOf(error: unknown): BroadcastOutcome {
  if (error instanceof RpcUnavailable) return 'unavailable';
  if (!(error instanceof RpcRefused)) throw error;
  const { message } = error;
  if (/already known|known transaction|already imported|already in/i.test(message))
    return 'accepted';
  if (/nonce.{0,12}too low|nonce.{0,20}(?:used|expired)/i.test(message)) return 'nonce_used';
  if (/insufficient funds/i.test(message)) return 'no_coin';
  return 'refused';
}
