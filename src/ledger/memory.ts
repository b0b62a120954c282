/**
 * What the thread of the ledger remembers from one batch to the next. Thrown away whole when a batch
 * fails; keys and balances also when another process wrote to the database.
 */

import { Books } from './books.ts';
import type { PaymentRow } from './payment-row.ts';

/** A prepaid key as a hold must know it. */
export interface RememberedKey {
  readonly secretHash: Uint8Array;
  readonly isRevoked: boolean;
  /** Null for all routes. */
  readonly routes: readonly string[] | null;
  /** USD atoms, or null for no cap. */
  readonly perDay: bigint | null;
}

/** More than this are forgotten together. */
const REMEMBERED_MAX = 20_000;

export class Memory {
  readonly books = new Books();
  /** By the key's id. */
  readonly #keys = new Map<string, RememberedKey>();
  /** Holds by the payment's id. Whoever uses one must ask the database, as he writes, that its row is unchanged. */
  readonly #holds = new Map<string, PaymentRow>();
  #version: bigint | null = null;

  /** To be called at the start of each write: null or another version means that others may have written. */
  begin(version: bigint | null): void {
    if (version === null || version !== this.#version) {
      this.books.forget();
      this.forgetKeys();
    }
    this.#version = version;
  }

  key(id: string): RememberedKey | undefined {
    return this.#keys.get(id);
  }

  keepKey(id: string, key: RememberedKey): void {
    if (this.#keys.size >= REMEMBERED_MAX) this.#keys.clear();
    this.#keys.set(id, key);
  }

  forgetKeys(): void {
    this.#keys.clear();
  }

  keepHold(row: PaymentRow): void {
    if (this.#holds.size >= REMEMBERED_MAX) this.#holds.clear();
    this.#holds.set(row.payment.id, row);
  }

  /** The hold, if it is remembered, for its end: it is forgotten now. */
  takeHold(paymentId: string): PaymentRow | undefined {
    const row = this.#holds.get(paymentId);
    if (row !== undefined) this.#holds.delete(paymentId);
    return row;
  }
}
