/** Which schemes a route takes: what is known before is exact, what is measured afterwards is upto. */

import type { Route } from '../../core/route.ts';

export interface Schemes {
  /** Also by v1 clients, which know no other. */
  readonly exact: boolean;
  readonly upto: boolean;
}

export function schemesOf({ price, chargeMax }: Route): Schemes {
  const isMetered = price.kind !== 'flat' && price.kind !== 'free';
  return { exact: !isMetered || chargeMax, upto: isMetered };
}
