/** What a remote facilitator gets to see of a payment, and its word on it before the work. */

import { PaymentRefused, RailUnavailable } from '../../core/errors.ts';
import type { Demand } from '../../core/ports/rail.ts';
import type { X402Credential } from './credential.ts';
import { FacilitatorUnavailable } from './facilitator.ts';
import type { X402Network } from './network.ts';
import { amountOn, requirementsV1, requirementsV2 } from './offers.ts';
import type { AuthorizedTransfer, X402Parts } from './parts.ts';
import { encodeExactEvmPayload } from './protocol.ts';
import type { ExactTransfer } from './transfer.ts';

/**
 * Body of `/verify` and `/settle`, as JSON text: the very same bytes each time. The quote stays out of
 * it, so that a facilitator can't make the credential that fetches the answer.
 */
export function facilitatorRequest(sent: {
  readonly parts: X402Parts;
  readonly network: X402Network;
  readonly credential: X402Credential;
  readonly transfer: ExactTransfer;
  readonly demand: Demand;
}): string {
  const { parts, network, demand } = sent;
  const { payment } = sent.credential;
  const { signature, ...authorization } = sent.transfer.signed;
  const payload = encodeExactEvmPayload({ signature, authorization });
  const amount = amountOn(network, demand.quote.max);
  const seconds = parts.deadlines.maxTimeoutSeconds(demand.route);
  const v1 = requirementsV1(network, amount, seconds, { url: '', description: '' });
  if (payment.x402Version === 1 && v1 !== null)
    return JSON.stringify({
      x402Version: 1,
      paymentPayload: { x402Version: 1, scheme: 'exact', network: v1.network, payload },
      paymentRequirements: v1,
    });
  const accepted = requirementsV2(network, amount, seconds);
  const resource = payment.x402Version === 2 ? (payment.resource ?? undefined) : undefined;
  return JSON.stringify({
    x402Version: 2,
    paymentPayload: { x402Version: 2, resource, accepted, payload },
    paymentRequirements: accepted,
  });
}

/**
 * Asks the facilitator after everything that we can check ourselves, so that only good payments leave
 * the house. Calls `onUnsent` when it certainly received nothing. Throws PaymentRefused and RailUnavailable.
 */
export async function verifyRemotely(
  parts: X402Parts,
  network: X402Network,
  { facilitator }: AuthorizedTransfer,
  onUnsent: () => void,
): Promise<void> {
  if (facilitator === null) return;
  try {
    const answer = await parts.facilitators.verify(facilitator.url, facilitator.request);
    if (answer.valid) return;
    const { reason } = answer;
    throw new PaymentRefused(reason, `The facilitator refuses the payment: ${reason}.`);
  } catch (error) {
    if (!(error instanceof FacilitatorUnavailable)) throw error;
    if (!error.sent) onUnsent();
    network.facilitatorFailed(facilitator.url);
    network.liveness.report(error.message);
    throw new RailUnavailable(`${network.displayName}: the facilitator does not answer.`);
  }
}
