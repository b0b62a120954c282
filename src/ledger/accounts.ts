/**
 * The chart of accounts. Balances are signed; every ledger transaction sums to zero per asset.
 *
 * | account                    | asset              | balance means                                          |
 * |----------------------------|--------------------|--------------------------------------------------------|
 * | `payer:<key id>`           | USD                | what a prepaid key can spend; never negative           |
 * | `held:<key id>`            | USD                | what its running requests hold; never negative         |
 * | `wallet:<network>:<addr>`  | asset of the chain | minus what a wallet holds or owes; 0 once all settled  |
 * | `held:wallet:<network>:<addr>` | the same       | what its running requests hold; never negative         |
 * | `revenue:<route id>`       | either             | what a route earned                                    |
 * | `refund-due:<payer account>` | either           | what was taken for work that then failed               |
 * | `outside:<source>`         | USD                | minus what a source (the operator, a card) topped up   |
 * | `chain:<network>`          | asset of the chain | minus what was seen to reach us on that network        |
 * | `chain-key:<network>`      | `<network>/gas-nano` | minus the gas that our settlement key paid           |
 * | `gas:<network>`            | `<network>/gas-nano` | the same, as a cost                                  |
 *
 * | what happens               | entries                                                                    |
 * |----------------------------|----------------------------------------------------------------------------|
 * | top up                     | outside → payer                                                            |
 * | hold                       | payer or wallet → held, the maximum                                        |
 * | capture                    | held → revenue, the amount; held → payer or wallet, the rest               |
 * | release                    | held → payer or wallet                                                     |
 * | settled                    | chain → wallet, what was seen; chain-key → gas, if we paid it              |
 * | settlement failed          | revenue (or refund-due) → wallet; chain-key → gas, if we paid it           |
 * | settled after all          | wallet → revenue, then as settled                                          |
 * | paid without an answer     | wallet → refund-due, then as settled                                       |
 * | unsettled                  | settled, reversed: its block was dropped from the chain                    |
 * | refund due                 | revenue → refund-due                                                       |
 *
 * Free calls move no money and have no entries.
 */

import { MoneyLawBroken } from './errors.ts';

/** The account that a payer's money comes from: `key:key_1` is `payer:key_1`; a wallet is its own account. */
export function payerAccount(payer: string): string {
  if (payer.startsWith('key:')) return `payer:${payer.slice('key:'.length)}`;
  if (payer.startsWith('wallet:')) return payer;
  throw new MoneyLawBroken(`The payer ${payer} has no account`);
}

export function heldAccount(payer: string): string {
  if (payer.startsWith('key:')) return `held:${payer.slice('key:'.length)}`;
  if (payer.startsWith('wallet:')) return `held:${payer}`;
  throw new MoneyLawBroken(`The payer ${payer} has no account`);
}

/** `heldAccount` as SQL over a payment's column `payer`. */
export const HELD_ACCOUNT_SQL =
  "'held:' || CASE WHEN substr(payer, 1, 4) = 'key:' THEN substr(payer, 5) ELSE payer END";

export function revenueAccount(route: string): string {
  return `revenue:${route}`;
}

export function refundDueAccount(payer: string): string {
  return `refund-due:${payerAccount(payer)}`;
}

export function outsideAccount(source: string): string {
  return `outside:${source}`;
}

export function chainAccount(network: string): string {
  return `chain:${network}`;
}

export function chainKeyAccount(network: string): string {
  return `chain-key:${network}`;
}

export function gasAccount(network: string): string {
  return `gas:${network}`;
}

/** Nano-units (10^-9) of the network's own coin. */
export function gasAsset(network: string): string {
  return `${network}/gas-nano`;
}
