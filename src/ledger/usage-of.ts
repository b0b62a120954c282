/** What a payer used, added up by day and route. */

import { utcDay } from '../core/clock.ts';
import { newTimedId } from '../core/id.ts';
import type { Operation } from './operation.ts';

const NOTHING = new Uint8Array();
const DAY_MS = 86_400_000;

/**
 * Where the payments of a time begin. Ids begin with the time, and are written in its order but for what is written
 * together, so that a few rows before the first id may belong to it too; MIN(seq) would read every row before it.
 */
const FIRST = '(SELECT seq FROM payment WHERE id >= ? ORDER BY id LIMIT 1) - 1000';

/** The newest payments of a payer stand last in the index of payers, so a page is one range of it. */
const PAGE = `SELECT created_at_ms / ${DAY_MS} AS day, route, COUNT(*) AS calls, SUM(cost) AS cost,
    MAX(seq) AS last, state = 'settled' OR state = 'captured' OR state = 'settlement_unknown' AS charged
  FROM (
    SELECT seq, route, cost, state, created_at_ms FROM payment
    WHERE payer = ? AND seq > ? AND seq >= ${FIRST}
      AND created_at_ms >= ?
    ORDER BY seq LIMIT ?
  )
  GROUP BY day, route, charged ORDER BY day, route`;

export const usageOf: Operation<'usageOf'> = async (tx, _context, filter) => {
  const { payer, sinceMs, after, limit } = filter;
  const first = newTimedId('pay', () => NOTHING, sinceMs);
  const rows = await tx.all(PAGE, [payer, after ?? 0, first, sinceMs, limit]);
  const seen = rows.reduce((sum, row) => sum + Number(row.calls), 0);
  const last = rows.reduce((max, row) => Math.max(max, Number(row.last)), 0);
  const days = rows
    .filter((row) => Number(row.charged) === 1)
    .map((row) => ({
      day: utcDay(Number(row.day) * DAY_MS),
      route: row.route as string,
      calls: Number(row.calls),
      cost: row.cost as bigint,
    }));
  return { days, next: seen < limit ? null : last };
};
