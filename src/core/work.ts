/** What one request asks for, as far as its price depends on it, and what its answer used. */

export interface Work {
  /** The model that the request names; null when it names none. */
  readonly model: string | null;
  /**
   * Full names of the models of which one will run it, where there is a choice: the quote covers the dearest.
   * Empty: any model may.
   */
  readonly mayRun?: readonly string[];
  /**
   * The most that this request can use of each unit, such as `{ inputTokens: 812, outputTokens: 4096 }`:
   * non-negative integers. A unit that is missing here has no bound of its own.
   */
  readonly bounds: Units;
  /** A value of the request by the place where it stands, such as `body.size` or `header.x-tier`; null when it is not there. */
  value(place: string): string | null;
}

/** How much of each unit, by its full name: `inputTokens`, `computeMs`, `bytesOut`, `calls`. */
export type Units = Readonly<Record<string, number>>;

/** What a meter read: outside input that only ever lowers a cost below its hold. */
export interface Measured {
  /** Non-negative safe integers; audio seconds and the like are rounded up. */
  readonly units: Units;
  /** Whether the upstream stated them, or they were counted from what passed. */
  readonly by: 'upstream' | 'count' | 'none';
}
