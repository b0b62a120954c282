/** The parts of a price that change its sum: `schedule`, `surge`, `volume` and `balance`. */

import { MoneyFormatError, parseUsd } from '../core/money.ts';
import type { Discount, ScheduleWindow, SurgeStep } from '../core/price.ts';
import { ONE, ratioOf } from '../core/ratio.ts';
import { isZone } from './factor-at.ts';
import { field, type Place, quoted } from './price-problems.ts';
import { readFactor, readPercent } from './read-amounts.ts';

export const DAY_NAMES: readonly string[] = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];

const WINDOW_HINT =
  'Write { days: mon-fri, from: 09:00, to: 18:00, zone: Europe/Berlin, factor: 1.5 }.';

/** Reads `schedule`. */
export function readSchedule(value: unknown, place: Place): ScheduleWindow[] | null {
  if (value === undefined) return [];
  return place.list(value, readWindow, `Write a list, such as [${WINDOW_HINT.slice(6, -1)}].`);
}

function readWindow(value: unknown, place: Place): ScheduleWindow | null {
  const known = ['days', 'from', 'to', 'zone', 'factor'];
  const fields = place.section(value, known, WINDOW_HINT);
  if (fields === null) return null;
  const days = readDays(field(fields, 'days') ?? 'sun-sat', place.in('days'));
  const fromMinute = readTime(field(fields, 'from') ?? '00:00', place.in('from'));
  const toMinute = readTime(field(fields, 'to') ?? '24:00', place.in('to'));
  const zone = field(fields, 'zone') ?? 'UTC';
  const factor = readFactor(field(fields, 'factor'), place.in('factor'));
  if (typeof zone !== 'string' || !isZone(zone))
    return place
      .in('zone')
      .refuse(`${quoted(zone)} is not a time zone`, 'Write UTC or a name such as Europe/Berlin.');
  if (days === null || fromMinute === null || toMinute === null || factor === null) return null;
  if (fromMinute === toMinute || fromMinute === DAY_MINUTES || toMinute === 0)
    return place
      .in('to')
      .refuse('ends where it begins', 'Leave out from and to for the whole day.');
  return { days, fromMinute, toMinute, zone, factor };
}

/** `mon-fri`, `sat,sun`, `fri-mon,wed`; ascending from Sunday, each day once. */
function readDays(value: unknown, place: Place): number[] | null {
  const hint = 'Write days such as mon-fri or sat,sun.';
  const days = new Set<number>();
  for (const part of typeof value === 'string' ? value.split(',') : ['?']) {
    const [first = -1, last = first, ...more] = part
      .trim()
      .split('-')
      .map((name) => DAY_NAMES.indexOf(name));
    if (first < 0 || last < 0 || more.length > 0)
      return place.refuse(`${quoted(value)} is not days of the week`, hint);
    for (let day = first; ; day = (day + 1) % 7) {
      days.add(day);
      if (day === last) break;
    }
  }
  return [...days].sort((a, b) => a - b);
}

const DAY_MINUTES = 24 * 60;

/** `09:00` in minutes since midnight, up to `24:00`. */
function readTime(value: unknown, place: Place): number | null {
  const match = typeof value === 'string' ? /^(\d{1,2}):([0-5]\d)$/.exec(value) : null;
  const minute = Number(match?.[1]) * 60 + Number(match?.[2]);
  if (match && minute <= DAY_MINUTES) return minute;
  return place.refuse(`${quoted(value)} is not a time of day`, 'Write for example 09:00.');
}

const SURGE_HINT = 'Write { aboveLoad: 80%, factor: 2 }.';

/** Reads `surge`, ascending. */
export function readSurge(value: unknown, place: Place): SurgeStep[] | null {
  if (value === undefined) return [];
  const hint = `Write a list, such as [${SURGE_HINT.slice(6, -1)}].`;
  const steps = place.list(value, readSurgeStep, hint);
  if (steps === null) return null;
  const asNumber = ({ aboveLoad: { n, d } }: SurgeStep): number => Number(n) / Number(d);
  steps.sort((a, b) => asNumber(a) - asNumber(b));
  const twice = steps.find((step, i) => i > 0 && asNumber(step) === asNumber(steps[i - 1] ?? step));
  return twice === undefined
    ? steps
    : place.refuse('names one load twice', 'Remove one of the two steps.');
}

function readSurgeStep(value: unknown, place: Place): SurgeStep | null {
  const fields = place.section(value, ['aboveLoad', 'factor'], SURGE_HINT);
  if (fields === null) return null;
  const aboveLoad = readPercent(field(fields, 'aboveLoad'), place.in('aboveLoad'), ONE);
  const factor = readFactor(field(fields, 'factor'), place.in('factor'));
  return aboveLoad && factor && { aboveLoad, factor };
}

const DISCOUNT_HINT = 'Write { above: $100, off: 10% }.';

/** Reads `volume` or `balance`, ascending. */
export function readDiscounts(value: unknown, place: Place): Discount[] | null {
  if (value === undefined) return [];
  const hint = `Write a list, such as [${DISCOUNT_HINT.slice(6, -1)}].`;
  const steps = place.list(value, readDiscount, hint);
  if (steps === null) return null;
  steps.sort((a, b) => (a.above < b.above ? -1 : a.above > b.above ? 1 : 0));
  return steps.some((step, index) => index > 0 && step.above === steps[index - 1]?.above)
    ? place.refuse('names one amount twice', 'Remove one of the two steps.')
    : steps;
}

function readDiscount(value: unknown, place: Place): Discount | null {
  const fields = place.section(value, ['above', 'off'], DISCOUNT_HINT);
  if (fields === null) return null;
  const above = readUsd(field(fields, 'above'), place.in('above'));
  const least = ratioOf(1n, 1_000_000n);
  const off = readPercent(field(fields, 'off'), place.in('off'), ONE, least);
  return above === null ? null : off && { above, off };
}

function readUsd(value: unknown, place: Place): bigint | null {
  const hint = 'Write dollars, such as $100.';
  try {
    return parseUsd(typeof value === 'string' ? value : '');
  } catch (error) {
    if (!(error instanceof MoneyFormatError)) throw error;
    return place.refuse(`${quoted(value)} is not an amount of dollars`, hint);
  }
}
