/** Factors that are fixed with the quote: by the time of the week, and by load. */

import type { MeteredPrice, ScheduleWindow } from '../core/price.ts';
import { ONE, type Ratio } from '../core/ratio.ts';

/** The factor of the first window that holds this time. */
export function scheduleFactor({ schedule }: MeteredPrice, atMs: number): Ratio {
  return schedule.find((window) => holds(window, atMs))?.factor ?? ONE;
}

/** The factor of the highest step below the load. */
export function surgeFactor({ surge }: MeteredPrice, load: number): Ratio {
  return (
    surge.findLast(({ aboveLoad }) => load > Number(aboveLoad.n) / Number(aboveLoad.d))?.factor ??
    ONE
  );
}

function holds({ days, fromMinute, toMinute, zone }: ScheduleWindow, atMs: number): boolean {
  const { day, minute } = localTime(zone, atMs);
  if (fromMinute < toMinute) return days.includes(day) && minute >= fromMinute && minute < toMinute;
  // Over midnight: the evening of its own day, or the morning after.
  return (
    (minute >= fromMinute && days.includes(day)) ||
    (minute < toMinute && days.includes((day + 6) % 7))
  );
}

interface LocalTime {
  /** 0 is Sunday. */
  readonly day: number;
  /** Since midnight by the clock on the wall, so summer time moves nothing. */
  readonly minute: number;
}

interface Zone {
  readonly format: Intl.DateTimeFormat;
  /** The UTC minute that `last` is for. */
  lastMinute: number;
  last: LocalTime;
}

const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const zones = new Map<string, Zone>();

/** Day and minute in a zone. Formatting a date is slow, and a minute is the same for all its requests. */
function localTime(name: string, atMs: number): LocalTime {
  let zone = zones.get(name);
  if (zone === undefined) {
    const format = new Intl.DateTimeFormat('en-US', {
      ...{ timeZone: name, hourCycle: 'h23', weekday: 'short', hour: 'numeric', minute: 'numeric' },
    });
    zone = { format, lastMinute: Number.NaN, last: { day: 0, minute: 0 } };
    zones.set(name, zone);
  }
  const minute = Math.floor(atMs / 60_000);
  if (zone.lastMinute !== minute) {
    zone.last = readParts(zone.format.formatToParts(minute * 60_000));
    zone.lastMinute = minute;
  }
  return zone.last;
}

function readParts(parts: readonly Intl.DateTimeFormatPart[]): LocalTime {
  const part = (type: string): string => parts.find((one) => one.type === type)?.value ?? '';
  return {
    day: DAYS.indexOf(part('weekday')),
    minute: Number(part('hour')) * 60 + Number(part('minute')),
  };
}

/** Whether the runtime knows a time zone. */
export function isZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en-US', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
