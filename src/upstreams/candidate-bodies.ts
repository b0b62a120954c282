import type { Candidate } from './models.ts';

/** What each candidate of a request is sent, by the body that the request line hands on. */
export class CandidateBodies {
  readonly #known = new WeakMap<Uint8Array, ReadonlyMap<string, Uint8Array>>();

  remember(body: Uint8Array, byCandidate: readonly (readonly [Candidate, Uint8Array])[]): void {
    const names = byCandidate.map(([candidate, bytes]) => [nameOf(candidate), bytes] as const);
    this.#known.set(body, new Map(names));
  }

  /** Undefined for a body that was not read here. */
  bodyFor(body: Uint8Array, candidate: Candidate): Uint8Array | undefined {
    return this.#known.get(body)?.get(nameOf(candidate));
  }
}

function nameOf({ provider, model }: Candidate): string {
  return `${provider}/${model}`;
}
