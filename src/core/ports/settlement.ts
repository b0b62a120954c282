/** Money that moves outside: how it will move, and what was seen of it. */

/** How money that moves outside will move: stored in the transaction of the capture, before it is announced. */
export interface SettlementJob {
  readonly network: string;
  readonly scheme: string;
  /** Everything needed to ask again after a restart, as JSON text. */
  readonly payload: string;
  /** Where it goes: `embedded`, or the URL of the one facilitator that may ever be asked. */
  readonly via: string;
  /** The authorization cannot be used after this, milliseconds. */
  readonly validBeforeMs: number;
  /** The signed chain transaction, its sender and nonce, when we broadcast ourselves. */
  readonly transaction?: {
    readonly sender: string;
    readonly nonce: number;
    readonly hash: string;
    readonly raw: string;
  };
}

export interface StoredJob extends SettlementJob {
  readonly paymentId: string;
  readonly createdAtMs: number;
}

export interface SettledFact {
  readonly paymentId: string;
  readonly transaction: string;
  readonly block: bigint;
  /** With it, the block is looked for again later: it may be dropped by a reorganisation. */
  readonly blockHash?: string;
  /** Atoms that reached the operator's address, as seen on the chain. */
  readonly amount: bigint;
  /** Gas paid by our own key, in nano-units (10^-9) of the network's coin, rounded up; 0 when others paid. */
  readonly gasNano: bigint;
}

/** A block in which payments settled. */
export interface SettledBlock {
  readonly block: bigint;
  readonly blockHash: string;
}
