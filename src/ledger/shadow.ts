/** Counters of shadow routes: what calls would have come to. No money, so no entries. */

import type { Operation } from './operation.ts';

const ADD_DAY = `INSERT INTO shadow_day
    (day, route, calls, unpriced, cost, listed_calls, listed_earned, listed_cost)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT (day, route) DO UPDATE SET
    calls = calls + excluded.calls, unpriced = unpriced + excluded.unpriced,
    cost = cost + excluded.cost, listed_calls = listed_calls + excluded.listed_calls,
    listed_earned = listed_earned + excluded.listed_earned,
    listed_cost = listed_cost + excluded.listed_cost`;
const ADD_UNIT = `INSERT INTO shadow_unit (day, route, unit, count) VALUES (?, ?, ?, ?)
  ON CONFLICT (day, route, unit) DO UPDATE SET count = count + excluded.count`;

export const addShadow: Operation<'addShadow'> = async (tx, _context, days) => {
  for (const { day, route, calls, unpriced, cost, listed, units } of days) {
    await tx.run(ADD_DAY, [
      ...[day, route, calls, unpriced, cost],
      ...[listed.calls, listed.earned, listed.cost],
    ]);
    for (const [unit, count] of Object.entries(units))
      await tx.run(ADD_UNIT, [day, route, unit, count]);
  }
};

export const shadowDays: Operation<'shadowDays'> = async (tx, _context, sinceDay) => {
  const rows = await tx.all('SELECT * FROM shadow_day WHERE day >= ? ORDER BY day, route', [
    sinceDay,
  ]);
  const counted = await tx.all(
    'SELECT * FROM shadow_unit WHERE day >= ? ORDER BY day, route, unit',
    [sinceDay],
  );
  const units = new Map<string, Record<string, number>>();
  for (const { day, route, unit, count } of counted) {
    const name = `${day} ${route}`;
    units.set(name, { ...units.get(name), [unit as string]: Number(count) });
  }
  return rows.map((row) => ({
    day: row.day as string,
    route: row.route as string,
    calls: Number(row.calls),
    unpriced: Number(row.unpriced),
    cost: row.cost as bigint,
    listed: {
      calls: Number(row.listed_calls),
      earned: row.listed_earned as bigint,
      cost: row.listed_cost as bigint,
    },
    units: units.get(`${row.day} ${row.route}`) ?? {},
  }));
};
