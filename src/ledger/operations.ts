/** Every operation of the ledger by its name. */

import type { TransactMode } from '../storage/transaction.ts';
import { findAnswer, forgetAnswers } from './answers.ts';
import {
  authenticateKey,
  createKey,
  findKey,
  listKeys,
  revokeKey,
  rotateKey,
  topUpKey,
} from './api-keys.ts';
import { audit } from './audit.ts';
import { capture, delivered, release } from './capture.ts';
import { abandonClaim, claim, promoteClaim } from './claim.ts';
import { expose, holdExposure } from './hold-exposure.ts';
import { freeRemaining, holdFree } from './hold-free.ts';
import { holdPrepaid } from './hold-prepaid.ts';
import { findJob, nextNonce, openJobs, replaceTransaction } from './jobs.ts';
import { heartbeat, overdue, takeLapsed } from './leases.ts';
import type { Operation, OperationName } from './operation.ts';
import {
  balances,
  entries,
  findByCredential,
  findPayment,
  listPayments,
  sharedSecret,
  stampMode,
} from './records.ts';
import { forgive, refundDue, settled, settlementFailed, settlementUnknown } from './settled.ts';
import { addShadow, shadowDays } from './shadow.ts';
import { closeShown, parkClaim, resumeClaim, showClaim, shownJobs } from './shown-claims.ts';
import { settledBlocks, unsettle } from './unsettle.ts';
import { usageOf } from './usage-of.ts';

export const operations: { readonly [Name in OperationName]: Operation<Name> } = {
  holdPrepaid,
  holdFree,
  freeRemaining,
  claim,
  promoteClaim,
  abandonClaim,
  showClaim,
  parkClaim,
  resumeClaim,
  shownJobs,
  closeShown,
  holdExposure,
  capture,
  delivered,
  release,
  settled,
  settledBlocks,
  unsettle,
  settlementUnknown,
  expose,
  settlementFailed,
  forgive,
  refundDue,
  replaceTransaction,
  findPayment,
  findByCredential,
  findAnswer,
  listPayments,
  usageOf,
  addShadow,
  shadowDays,
  findJob,
  openJobs,
  nextNonce,
  createKey,
  findKey,
  authenticateKey,
  listKeys,
  rotateKey,
  revokeKey,
  topUpKey,
  balances,
  entries,
  audit,
  heartbeat,
  takeLapsed,
  overdue,
  forgetAnswers,
  sharedSecret,
  stampMode,
};

/** Operations that only read; alone in a batch they take no write lock and no commit to disk. */
const READS: ReadonlySet<OperationName> = new Set<OperationName>([
  'freeRemaining',
  'findPayment',
  'findByCredential',
  'findAnswer',
  'listPayments',
  'usageOf',
  'shadowDays',
  'findJob',
  'openJobs',
  'shownJobs',
  'settledBlocks',
  'overdue',
  'nextNonce',
  'findKey',
  'authenticateKey',
  'listKeys',
  'balances',
  'entries',
  'audit',
]);

/** Operations that read no balance but through the books, and change no key: what is remembered stays true. */
const KEEPS_MEMORY: ReadonlySet<OperationName> = new Set<OperationName>([
  'holdPrepaid',
  'holdFree',
  'claim',
  'holdExposure',
  'capture',
  'delivered',
  'release',
  'settled',
  'expose',
  'findPayment',
  'findByCredential',
  'findAnswer',
  'addShadow',
  'heartbeat',
]);

/** Whether the books may stay unwritten while it runs; else they are written first, and keys are read anew after a write. */
export function keepsMemory(name: OperationName): boolean {
  return KEEPS_MEMORY.has(name);
}

/** Reads that may take long: each gets a batch of its own, so that nobody's money waits behind its write lock. */
const REPORTS: ReadonlySet<OperationName> = new Set<OperationName>([
  'listPayments',
  'usageOf',
  'shadowDays',
  'balances',
  'entries',
  'audit',
]);

export function modeOf(calls: Iterable<{ readonly name: OperationName }>): TransactMode {
  for (const { name } of calls) if (!READS.has(name)) return 'write';
  return 'read';
}

export function isReport(name: OperationName): boolean {
  return REPORTS.has(name);
}
