/** How one provider is doing: how many requests it has, and whether it failed of late. */

/** Failures in a row after which a provider is passed over. */
const FAILURES_MAX = 3;
/** For how long it is passed over; then one request tries again. */
const REST_MS = 10_000;

export class ProviderState {
  readonly #concurrency: number;
  #running = 0;
  #failures = 0;
  #restsUntilMs = 0;

  constructor(concurrency: number) {
    this.#concurrency = concurrency;
  }

  /** Takes a place; false when there is none. */
  enter(): boolean {
    if (this.#running >= this.#concurrency) return false;
    this.#running++;
    return true;
  }

  leave(): void {
    this.#running--;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#restsUntilMs = 0;
  }

  failed(nowMs: number): void {
    this.#failures++;
    if (this.#failures >= FAILURES_MAX) this.#restsUntilMs = nowMs + REST_MS;
  }

  isWell(nowMs: number): boolean {
    return nowMs >= this.#restsUntilMs;
  }
}
