/** What must be true once everything has ended: of the books, of the chain, and of every single payer. */

import { FINAL_STATES, type Payment } from '../../src/core/payment.ts';
import { type Call, FAILING, isWhole } from './calls.ts';
import { PRICE, WALLET_ATOMS, type World } from './world.ts';

/** Something that must never be. */
export interface Violation {
  readonly kind: ViolationKind;
  readonly detail: string;
}

export const VIOLATIONS = [
  'audit',
  'open-payment',
  'open-hold',
  'open-request',
  'ran-twice',
  'wrong-answer',
  'chain-and-ledger',
  'wallet-and-ledger',
  'charged-without-answer',
  'charged-for-cut-stream',
  'charged-for-failure',
  'served-without-charge',
] as const;
export type ViolationKind = (typeof VIOLATIONS)[number];

/** Looks at everything there is; `calls` are those that were not looked at before. */
export async function judge(world: World, calls: readonly Call[]): Promise<Violation[]> {
  const payments = await world.ledger.listPayments({ limit: 1_000_000 });
  const found: Violation[] = [];
  const add = (kind: ViolationKind, detail: string): void => void found.push({ kind, detail });
  for (const one of await world.ledger.audit()) add('audit', JSON.stringify(one));
  for (const { id, state } of payments)
    if (!FINAL_STATES.has(state)) add('open-payment', `${id} is ${state}`);
  for (const { account, asset, balance } of await world.ledger.balances())
    if (account.startsWith('held:') && balance !== 0n)
      add('open-hold', `${account} has ${balance} of ${asset}`);
  await judgeChain(world, payments, add);
  const byBody = new Map(payments.map((one) => [world.upstream.bodyOf(one.id), one]));
  for (const call of calls) await judgeCall(world, call, byBody.get(call.body), add);
  return found;
}

type Add = (kind: ViolationKind, detail: string) => void;

/** Whether all that arrived on the chain is on the books. */
export async function isAllBooked(world: World, payments: readonly Payment[]): Promise<boolean> {
  return (await world.chain.usdcBalance(world.payTo)) === sum(movedBy(payments));
}

function movedBy(payments: readonly Payment[]): Payment[] {
  return payments.filter(({ rail, transaction }) => rail === 'x402' && transaction !== null);
}

function sum(payments: readonly Payment[]): bigint {
  return payments.reduce((all, { amount }) => all + amount, 0n);
}

/** Money that moved outside: what the ledger saw, where it arrived, and whom it left. */
async function judgeChain(world: World, payments: readonly Payment[], add: Add): Promise<void> {
  const moved = movedBy(payments);
  const received = await world.chain.usdcBalance(world.payTo);
  if (received !== sum(moved))
    add('chain-and-ledger', `${received} arrived, ${sum(moved)} are on the books`);
  for (const { address } of world.wallets) {
    const spent = WALLET_ATOMS - (await world.chain.usdcBalance(address));
    const booked = sum(moved.filter(({ payer }) => payer.endsWith(address.toLowerCase())));
    if (spent !== booked) add('wallet-and-ledger', `${address} spent ${spent}, booked ${booked}`);
  }
}

async function judgeCall(
  world: World,
  call: Call,
  payment: Payment | undefined,
  add: Add,
): Promise<void> {
  const name = `${call.way} ${call.product} ${call.body} (${payment?.id}, ${payment?.state})`;
  if (call.repeatable && call.status === null && !call.hungUp) add('open-request', name);
  if (world.upstream.runs(call.body) > 1) add('ran-twice', name);
  if (call.wrongAnswer !== null) add('wrong-answer', `${name}: ${call.wrongAnswer}`);
  if (call.way === 'free' || call.way === 'quota') return;
  const isCharged = payment?.state === 'settled' && payment.cost > 0n;
  if (isCharged && payment.amount !== PRICE)
    add('charged-for-failure', `${name}: ${payment.amount}`);
  if (isCharged && FAILING.has(call.product)) add('charged-for-failure', name);
  if (isCharged && !call.delivered) await judgeUndelivered(world, call, payment, name, add);
  // A stream of a key is captured, and that of a wallet known to be delivered, after its last byte and before its
  // end: a kill between the two is the operator's loss. Where the length was told, the last byte is the end.
  const mayBeLost =
    call.product === 'big' ||
    (call.product === 'sse' && !(call.way.startsWith('x402') && call.ended));
  if (call.delivered && !isCharged && !mayBeLost) add('served-without-charge', name);
}

/** Who paid and did not get the answer can fetch it, with what paid for it. */
async function judgeUndelivered(
  world: World,
  call: Call,
  payment: Payment,
  name: string,
  add: Add,
): Promise<void> {
  const isStream = call.product === 'sse' || call.product === 'big';
  // Who hangs up in the middle of a stream pays for it: the default of `onAbort`.
  if (isStream && call.hungUp) return;
  const response = await fetch(`${world.url}/_pay/payments/${payment.id}/answer`, {
    headers: call.headers,
  });
  const text = await response.text();
  if (response.status === 200 && isWhole(call, text)) return;
  const detail = `${name}: HTTP ${response.status} ${text.slice(0, 200)}`;
  add(isStream ? 'charged-for-cut-stream' : 'charged-without-answer', detail);
}
