/** One settlement key on one chain: signs transactions with gapless nonces, and broadcasts what was stored. */

import type { Log } from '../../core/log.ts';
import type { Fees } from './fees.ts';
import { RpcRefused, RpcUnavailable } from './json-rpc.ts';
import { createNonces, type Nonces } from './nonces.ts';
import type { EvmChain } from './open-evm-chain.ts';
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
  /** It is mined: it is not remembered any longer. What a reorganisation drops is found in the ledger. */
  mined(transaction: SignedTransaction): void;
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
  return new KeySubmitter(options);
}

class KeySubmitter implements Submitter {
  readonly address: Hex;
  readonly #options: SubmitterOptions;
  readonly #key: Uint8Array;
  /** Stored transactions by nonce, until they are mined. */
  readonly #stored = new Map<number, SignedTransaction>();
  readonly #doubts = new Map<number, Doubt>();
  #started: Promise<Nonces> | undefined;
  #healing: Promise<void> | undefined;
  #healedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: SubmitterOptions) {
    this.#options = options;
    this.address = addressOfPrivateKey(options.privateKey).toLowerCase() as Hex;
    this.#key = Buffer.from(options.privateKey.slice(2), 'hex');
  }

  async prepare(call: ContractCall): Promise<SignedTransaction> {
    const [nonces, fees] = await Promise.all([this.#ready(), this.#options.chain.fees()]);
    const nonce = nonces.take();
    try {
      return this.#sign(nonce, call, fees);
    } catch (error) {
      nonces.giveBack(nonce);
      throw error;
    }
  }

  keep(transaction: SignedTransaction): void {
    this.#stored.set(transaction.nonce, transaction);
    this.skip(transaction);
  }

  giveBack({ nonce }: SignedTransaction): void {
    void this.#started?.then((nonces) => nonces.giveBack(nonce));
  }

  skip({ nonce }: SignedTransaction): void {
    void this.#started?.then((nonces) => nonces.keep(nonce));
  }

  doubt(transaction: SignedTransaction, isStored: () => Promise<boolean>): void {
    this.#doubts.set(transaction.nonce, { transaction, isStored });
    this.skip(transaction);
  }

  async replace(
    { nonce }: SignedTransaction,
    call: ContractCall,
    bumps: number,
  ): Promise<SignedTransaction> {
    return this.#sign(nonce, call, raised(await this.#options.chain.fees(), bumps));
  }

  mined({ sender, nonce }: SignedTransaction): void {
    if (sender === this.address) this.#stored.delete(nonce);
  }

  async broadcast(transaction: SignedTransaction): Promise<BroadcastOutcome> {
    const { chain, log } = this.#options;
    try {
      await chain.broadcast(transaction.raw);
      return 'accepted';
    } catch (error) {
      const outcome = outcomeOf(error);
      const { nonce, hash } = transaction;
      if (outcome === 'refused' || outcome === 'no_coin')
        log.error(
          { sender: this.address, nonce, hash, error },
          'a node refused a settlement transaction',
        );
      return outcome;
    }
  }

  heal(): Promise<void> {
    const isRecent = performance.now() - this.#healedAtMs < HEAL_EVERY_MS;
    if (this.#healing === undefined && isRecent) return Promise.resolve();
    this.#healing ??= this.#healOnce().finally(() => {
      this.#healedAtMs = performance.now();
      this.#healing = undefined;
    });
    return this.#healing;
  }

  #ready(): Promise<Nonces> {
    this.#started ??= this.#start().catch((error: unknown) => {
      this.#started = undefined;
      throw error;
    });
    return this.#started;
  }

  async #start(): Promise<Nonces> {
    const { chain, storedNonce } = this.#options;
    const [pending, next] = await Promise.all([
      chain.transactionCount(this.address, 'pending'),
      storedNonce(this.address),
    ]);
    if (next !== null && next > pending) await this.#adopt();
    return createNonces(Math.max(pending, next ?? 0));
  }

  /** Takes over what the ledger has, whoever of us stored it. */
  async #adopt(): Promise<void> {
    for (const transaction of await this.#options.storedTransactions(this.address))
      this.#stored.set(transaction.nonce, transaction);
  }

  #sign(nonce: number, call: ContractCall, fees: Fees): SignedTransaction {
    const { chainId } = this.#options.chain;
    return signTransaction(
      { ...call, ...fees, nonce, chainId, value: 0n },
      this.address,
      this.#key,
    );
  }

  async #healOnce(): Promise<void> {
    const { chain } = this.#options;
    const nonces = await this.#ready();
    const [mined, pending] = await Promise.all([
      chain.transactionCount(this.address, 'latest'),
      chain.transactionCount(this.address, 'pending'),
    ]);
    const missing = Math.max(mined, pending);
    nonces.advance(missing);
    for (const known of [this.#stored, this.#doubts])
      for (const nonce of known.keys()) if (nonce < mined) known.delete(nonce);
    if (!nonces.isWaitedFor(missing) || nonces.isInHand(missing)) return;
    await this.#mend(nonces, missing);
  }

  /** Sends what belongs under the nonce that everything later waits for. */
  async #mend(nonces: Nonces, missing: number): Promise<void> {
    const known = this.#stored.get(missing);
    if (known !== undefined) return void (await this.broadcast(known));
    const doubt = this.#doubts.get(missing);
    if (doubt !== undefined) {
      const isStored = await doubt.isStored();
      this.#doubts.delete(missing);
      if (!isStored) nonces.giveBack(missing);
      else this.#stored.set(missing, doubt.transaction);
      return;
    }
    // Taken before the first await, else a payment could take it meanwhile.
    nonces.takeFree(missing);
    // Only what nobody stored may be filled: else it would push out a payment of a neighbour.
    await this.#adopt();
    const adopted = this.#stored.get(missing);
    if (adopted === undefined) await this.#fill(missing);
    else await this.broadcast(adopted);
  }

  /** An empty transfer to oneself: it moves no money, so nothing of it is stored. */
  async #fill(nonce: number): Promise<void> {
    const { chain, log } = this.#options;
    const call: ContractCall = { to: this.address, data: '0x', gasLimit: FILLER_GAS };
    const filler = this.#sign(nonce, call, raised(await chain.fees(), 1));
    const outcome = await this.broadcast(filler);
    log.warn({ sender: this.address, nonce, hash: filler.hash, outcome }, 'filled a nonce gap');
    if (outcome === 'accepted') this.#stored.set(nonce, filler);
  }
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
