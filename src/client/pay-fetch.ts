/** A fetch that pays a 402 by itself, inside a budget, and never twice for one call. */

import { type Clock, systemClock } from '../core/clock.ts';
import { newId, type Random } from '../core/id.ts';
import { formatUsd } from '../core/money.ts';
import { addApiKey } from '../rails/prepaid/client.ts';
import type { SignedCredential } from '../rails/x402/client.ts';
import { asksForApproval } from './asks-for-approval.ts';
import { allowsHost, type Budget, type BudgetOptions, parseBudget } from './budget.ts';
import { type ChosenOffer, chooseOffer } from './choose-offer.ts';
import { AllowanceMissing, BudgetExceeded, PayOptionsInvalid } from './errors.ts';
import { fileJournal } from './file-journal.ts';
import { type Journal, memoryJournal, type PaymentOutcome, type SignedPayment } from './journal.ts';
import { type OffersRead, readOffers } from './read-offers.ts';
import { readPermitStateBy } from './read-permit-state.ts';
import { type PaymentReceipt, receiptOf } from './receipt.ts';
import { type Fetch, type ReplayableRequest, readRequest } from './replayable-request.ts';
import { sendPaid, type Wait } from './send-paid.ts';
import { approvalOf, type ReadPermitState, signPayment, signsPermits } from './sign-payment.ts';
import type { Wallet } from './wallet.ts';

/** What became of one payment. */
export interface PaymentEvent {
  readonly outcome: PaymentOutcome;
  readonly payment: SignedPayment;
  /** Null when no answer came, or it carried none. */
  readonly receipt: PaymentReceipt | null;
}

export interface PayFetchOptions {
  /** Pays x402 offers; omitted: a 402 is returned as it is. */
  readonly wallet?: Wallet | undefined;
  /** A prepaid key, sent as `x-api-key`. */
  readonly apiKey?: string | undefined;
  readonly budget: BudgetOptions;
  /** A file shared by processes, or a journal of one's own; omitted: this function's memory. */
  readonly journal?: string | Journal | undefined;
  /**
   * A node's URL by network (CAIP-2), asked before a metered price is paid whether the wallet has approved
   * Permit2. Without it the server tells, and no permit is signed whose gas it would pay.
   */
  readonly rpc?: Readonly<Record<string, string>> | undefined;
  /** Called when the outcome of a payment is known, or known to be unknown. What it throws is ignored. */
  readonly onPayment?: ((event: PaymentEvent) => void) | undefined;
  /** How often a signed request is sent again while its outcome is unknown. Default 4. */
  readonly resendsMax?: number | undefined;
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
  readonly wait?: Wait | undefined;
}

interface Payer {
  readonly fetch: Fetch;
  readonly wallet: Wallet | undefined;
  readonly apiKey: string | undefined;
  readonly budget: Budget;
  readonly journal: Journal;
  readonly readPermitState: ReadPermitState;
  readonly onPayment: (event: PaymentEvent) => void;
  readonly resendsMax: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly wait: Wait;
}

/**
 * Wraps a fetch. The returned function throws what fetch throws, and BudgetExceeded, NoPayableOffer,
 * PaymentOutcomeUnknown or JournalUnavailable. A redirect is returned, not followed, whenever the
 * request carried a key or a payment. Throws PayOptionsInvalid at once when an option is wrong.
 */
export function payFetch(fetch: Fetch, options: PayFetchOptions): Fetch {
  const payer = readOptions(fetch, options);
  return async (input, init) => {
    const request = await readRequest(input, init);
    const response = await sendUnpaid(payer, request);
    if (!payer.wallet || !asksForPayment(request, response)) return response;
    const read = await readOffers(response);
    if (read === null) return response;

    const { id, payment, wasSent } = await signedPaymentFor(
      payer,
      payer.wallet,
      request,
      read,
      response,
    );
    void response.body?.cancel().catch(() => {});
    const answer = await sendPaid({
      ...payer,
      request,
      id,
      payment,
      wasSent,
      onOutcome: (outcome, answer) => tell(payer, outcome, payment, answer),
    });
    if (!(await asksForApproval(answer, payment))) return answer;
    const { network, asset, from } = payment;
    throw new AllowanceMissing(approvalOf(network, asset, from), answer);
  };
}

function readOptions(fetch: Fetch, options: PayFetchOptions): Payer {
  const { apiKey, journal, resendsMax = 4 } = options;
  if (!Number.isSafeInteger(resendsMax) || resendsMax < 0)
    throw new PayOptionsInvalid('resendsMax must be a whole number, 0 or more.');
  if (apiKey !== undefined && !/^[\x21-\x7e]*$/.test(apiKey))
    throw new PayOptionsInvalid('apiKey contains characters that a header can not carry.');
  return {
    fetch,
    wallet: options.wallet,
    apiKey: apiKey === '' ? undefined : apiKey,
    budget: parseBudget(options.budget),
    journal: typeof journal === 'string' ? fileJournal(journal) : (journal ?? memoryJournal()),
    readPermitState: readPermitStateBy(options.rpc ?? {}, fetch),
    onPayment: options.onPayment ?? (() => {}),
    resendsMax,
    clock: options.clock ?? systemClock,
    random: options.random ?? ((bytes) => crypto.getRandomValues(new Uint8Array(bytes))),
    wait: options.wait ?? waitTimer,
  };
}

/** The first request carries no payment: it may be free, and the price is not known yet. */
async function sendUnpaid(payer: Payer, request: ReplayableRequest): Promise<Response> {
  const keyed =
    payer.apiKey !== undefined &&
    allowsHost(payer.budget, request.url) &&
    addApiKey(request.headers, payer.apiKey);
  // fetch strips no x-api-key when it follows a redirect to another host, so it must not follow.
  return await request.send(payer.fetch, { neverFollow: keyed });
}

function asksForPayment(request: ReplayableRequest, response: Response): boolean {
  if (response.status !== 402) return false;
  // The caller pays by itself.
  if (request.headers.has('payment-signature') || request.headers.has('x-payment')) return false;
  // After a redirect, somebody else than the host that the caller named asks for money.
  return !response.redirected && isSameTarget(response.url, request.url);
}

function isSameTarget(answered: string, asked: URL): boolean {
  if (answered === '') return true;
  return withoutHash(new URL(answered)) === withoutHash(asked);
}

function withoutHash(url: URL): string {
  return url.href.slice(0, url.href.length - url.hash.length);
}

interface ReadyPayment {
  readonly id: string;
  readonly payment: SignedPayment;
  readonly wasSent: boolean;
}

/** A signature that an earlier, identical call left unresolved, else a new one within the budget. */
async function signedPaymentFor(
  payer: Payer,
  wallet: Wallet,
  request: ReplayableRequest,
  read: OffersRead,
  response: Response,
): Promise<ReadyPayment> {
  const requestKey = request.key();
  const open = await payer.journal.takeUnknown(requestKey, payer.clock.now());
  if (open) return { ...open, wasSent: true };

  const means = { upto: signsPermits(wallet) };
  const chosen = chooseOffer(read, payer.budget, request.url, response, means);
  const id = await holdBudget(payer, chosen, response);
  try {
    const credential = await signPayment({
      ...{ ...chosen, wallet, response },
      readPermitState: payer.readPermitState,
      nonce: randomNonce(payer.random),
      nowMs: payer.clock.now(),
    });
    const payment = signedPayment(request, requestKey, credential);
    // Written before it is sent: whatever happens from here on, a repeated call finds it.
    await payer.journal.signed(id, payment);
    return { id, payment, wasSent: false };
  } catch (error) {
    // The signature, if there is one, never left this process.
    await payer.journal.release(id).catch(() => {});
    throw error;
  }
}

/** Counts the price against the budget before anything is signed, so that parallel calls can't overspend together. */
async function holdBudget(
  payer: Payer,
  { offer }: ChosenOffer,
  response: Response,
): Promise<string> {
  const { budget, journal } = payer;
  const price = offer.amount;
  const id = newId('spend', payer.random);
  const held = await journal.hold({
    id,
    amount: price,
    perDay: budget.perDay,
    nowMs: payer.clock.now(),
  });
  if (held.outcome === 'exceeded') {
    const limit = formatUsd(budget.perDay ?? 0n);
    const detail = `The call costs ${formatUsd(price)}; ${formatUsd(held.spent)} of the ${limit} for today are spent or in flight.`;
    throw new BudgetExceeded('perDay', price, limit, detail, response);
  }
  return id;
}

function signedPayment(
  request: ReplayableRequest,
  requestKey: string,
  credential: SignedCredential,
): SignedPayment {
  const { validBefore, ...signed } = credential;
  return {
    ...signed,
    method: request.method,
    url: withoutHash(request.url),
    requestKey,
    validBeforeMs: Number(validBefore) * 1000,
  };
}

function randomNonce(random: Random): `0x${string}` {
  const digits = Array.from(random(32), (byte) => byte.toString(16).padStart(2, '0'));
  return `0x${digits.join('')}`;
}

function tell(
  payer: Payer,
  outcome: PaymentOutcome,
  payment: SignedPayment,
  response: Response | null,
): void {
  try {
    payer.onPayment({ outcome, payment, receipt: response ? receiptOf(response) : null });
  } catch {
    // A listener that fails must not cost the caller an answer that is paid for.
  }
}

function waitTimer(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort);
      resolve();
    }, ms);
    signal?.addEventListener('abort', abort, { once: true });
  });
}
