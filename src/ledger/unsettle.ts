/** A block that a reorganisation dropped: what settled in it is open again. */

import type { Payment } from '../core/payment.ts';
import type { Transaction } from '../storage/transaction.ts';
import { MoneyLawBroken } from './errors.ts';
import type { Operation, OperationContext } from './operation.ts';
import { COLUMNS, type PaymentRow, readPaymentRow } from './payment-row.ts';
import { postEntries } from './post-entries.ts';
import { settledPostings } from './settled.ts';

export const settledBlocks: Operation<'settledBlocks'> = async (
  tx,
  _context,
  network,
  sinceBlock,
) => {
  const rows = await tx.allValues(
    `SELECT DISTINCT settled_block, settled_block_hash FROM payment
     WHERE network = ? AND settled_block_hash IS NOT NULL AND settled_block >= ?
     ORDER BY settled_block DESC`,
    [network, sinceBlock],
  );
  return rows.map(([block, blockHash]) => ({
    block: block as bigint,
    blockHash: blockHash as string,
  }));
};

export const unsettle: Operation<'unsettle'> = async (tx, context, network, dropped) => {
  const rows = await tx.allValues(
    `SELECT ${COLUMNS}, settled_amount, gas_nano FROM payment
     WHERE network = ? AND settled_block_hash IS NOT NULL AND settled_block = ? AND settled_block_hash = ?`,
    [network, dropped.block, dropped.blockHash],
  );
  const open: Payment[] = [];
  for (const values of rows) {
    const [amount, gasNano] = values.slice(-2) as [bigint, bigint];
    open.push(await reverse(tx, context, readPaymentRow(values), amount, gasNano));
  }
  return open;
};

async function reverse(
  tx: Transaction,
  { nowMs, memory }: OperationContext,
  { payment, seq }: PaymentRow,
  amount: bigint,
  gasNano: bigint,
): Promise<Payment> {
  if (payment.network === null) throw new MoneyLawBroken(`${payment.id} moves no outside money`);
  const isDue = payment.state === 'refund_due';
  const state = isDue ? 'refund_due' : 'captured';
  const reason = isDue ? payment.reason : 'reorganised';
  // Its answer went out, and its money is not final any more.
  await tx.run(
    `UPDATE payment SET state = ?, reason = ?, chain_transaction = NULL, settled_block = NULL,
       settled_block_hash = NULL, settled_amount = NULL, gas_nano = 0, served = 1, updated_at_ms = ?
     WHERE seq = ?`,
    [state, reason, nowMs, seq],
  );
  const postings = settledPostings(payment, payment.network, -amount, -gasNano);
  await postEntries(tx, memory.books, 'unsettled', seq, nowMs, postings);
  return { ...payment, state, reason, transaction: null, updatedAtMs: nowMs };
}
