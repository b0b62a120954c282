/** A route without a price: no store, no credential, no receipt; only the proxy and its limits. */

import type { Answer, Exchange } from '../core/exchange.ts';
import { FLAT_WORK } from '../pricing/flat-work.ts';
import { withGatewayHeaders } from './answers.ts';
import type { Match } from './match-route.ts';
import type { RequestParts } from './parts.ts';
import { passFreeUpgrade, type UpgradeRequest } from './pass-upgrade.ts';
import { proxyUpstream } from './proxy-upstream.ts';
import { boundBody } from './read-request.ts';

/** Throws what the upstream's failure was. */
export async function passFree(
  parts: RequestParts,
  match: Match,
  exchange: Exchange,
  upgrade: UpgradeRequest | null = null,
): Promise<Answer> {
  if (upgrade !== null) return await passFreeUpgrade(parts, match, exchange, upgrade);
  const body = boundBody(exchange, parts.limits.bodyBytes);
  const work = { body, work: FLAT_WORK, meter: null };
  const outcome = await proxyUpstream(parts, match, null, exchange, work);
  if (outcome.kind === 'failed') throw outcome.error;
  const { status, headers } = outcome.answer;
  return { status, headers: withGatewayHeaders(headers, []), body: outcome.answer.body };
}
