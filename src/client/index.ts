/** `coinslot/client`: a fetch that pays. Installs and loads no server code. */

export type { BudgetOptions } from './budget.ts';
export {
  AllowanceMissing,
  BudgetExceeded,
  type BudgetLimit,
  JournalUnavailable,
  NoPayableOffer,
  PayError,
  PaymentOutcomeUnknown,
  PayOptionsInvalid,
  type PermitApproval,
  WalletKeyInvalid,
} from './errors.ts';
export { fileJournal } from './file-journal.ts';
export {
  type BudgetHold,
  type Journal,
  memoryJournal,
  type PaymentOutcome,
  type SignedPayment,
} from './journal.ts';
export { type PayFetchOptions, type PaymentEvent, payFetch } from './pay-fetch.ts';
export { type PaymentReceipt, receiptOf } from './receipt.ts';
export type { Fetch } from './replayable-request.ts';
export { privateKeyWallet, type Wallet } from './wallet.ts';
