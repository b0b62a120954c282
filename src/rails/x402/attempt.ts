import type { Demand } from '../../core/ports/rail.ts';
import type { X402Credential } from './credential.ts';
import type { X402Network } from './network.ts';
import type { X402Parts } from './parts.ts';
import type { Settlement } from './settlement-job.ts';
import type { Transfer } from './transfer.ts';

/** Everything about one presented payment. */
export interface Attempt {
  readonly parts: X402Parts;
  readonly network: X402Network;
  readonly credential: X402Credential;
  /** Of upto, all that is permitted: what will be taken is not known yet. */
  readonly transfer: Transfer;
  readonly demand: Demand;
  /** What the ledger knows an authentic credential by. */
  readonly credentialKey: string;
  /** The payer's own key signed; otherwise only the chain can tell (ERC-1271). */
  readonly authentic: boolean;
  /** The one facilitator that will see it; null when our own key settles. */
  readonly facilitatorUrl: string | null;
  /** What its facilitator was shown before, in a run that never heard its word; null in the first one. */
  readonly shown: Settlement | null;
}
