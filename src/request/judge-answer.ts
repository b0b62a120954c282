/** Is this answer a product that is paid for? The upstream's failure is free. */

import { isStream } from '../core/exchange.ts';
import type { UpstreamAnswer } from '../core/ports/upstream.ts';
import type { Route } from '../core/route.ts';

export type Verdict =
  | { readonly charge: true }
  | { readonly charge: false; readonly reason: string };

const CHARGE: Verdict = { charge: true };

/**
 * 5xx, 408, 429, redirects and an empty 2xx (204, 205 and HEAD excepted) are free; other 4xx are free
 * unless the route lists them in `chargeOn`.
 */
export function judgeAnswer(route: Route, method: string, answer: UpstreamAnswer): Verdict {
  const { status } = answer;
  if (status >= 200 && status < 300) {
    if (status === 204 || status === 205 || method === 'HEAD') return CHARGE;
    const empty = !isStream(answer.body) && answer.body.length === 0;
    return empty ? { charge: false, reason: 'upstream_empty' } : CHARGE;
  }
  if (status !== 408 && status !== 429 && route.chargeOn.includes(status)) return CHARGE;
  return { charge: false, reason: `upstream_status_${status}` };
}
