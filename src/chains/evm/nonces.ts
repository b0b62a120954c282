/** The nonces of one settlement key: handed out in order, and never lost, because a gap stops everything behind it. */

export interface Nonces {
  /** The lowest nonce that is free. */
  take(): number;
  /** The nonce's transaction is stored: it is the only one that may use it. */
  keep(nonce: number): void;
  /** The nonce's transaction was never stored: the next transaction takes it. */
  giveBack(nonce: number): void;
  /** Takes this very nonce if it was given back, so that nobody else does. */
  takeFree(nonce: number): boolean;
  /** The chain is this far: lower nonces are gone, whoever used them. */
  advance(firstUnused: number): void;
  /** Whether a nonce at or above this one was handed out and not given back. */
  isWaitedFor(nonce: number): boolean;
  /** Whether a transaction is being made with this nonce at this moment. */
  isInHand(nonce: number): boolean;
  /** The next nonce that was never handed out. */
  readonly next: number;
}

/** Pure bookkeeping, synchronous, so that two requests can never take one nonce. */
export function createNonces(start: number): Nonces {
  let next = start;
  const free = new Set<number>();
  const inHand = new Set<number>();
  return {
    take() {
      const nonce = free.size === 0 ? next++ : Math.min(...free);
      free.delete(nonce);
      inHand.add(nonce);
      return nonce;
    },
    keep(nonce) {
      inHand.delete(nonce);
    },
    giveBack(nonce) {
      inHand.delete(nonce);
      if (nonce >= next) return;
      free.add(nonce);
      while (free.delete(next - 1)) next--;
    },
    takeFree(nonce) {
      return free.delete(nonce);
    },
    advance(firstUnused) {
      if (firstUnused > next) next = firstUnused;
      for (const nonce of free) if (nonce < firstUnused) free.delete(nonce);
    },
    isWaitedFor(nonce) {
      for (let above = nonce; above < next; above++) if (!free.has(above)) return true;
      return false;
    },
    isInHand: (nonce) => inHand.has(nonce),
    get next() {
      return next;
    },
  };
}
