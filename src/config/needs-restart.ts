import { isDeepStrictEqual } from 'node:util';
import { CoinslotError } from '../core/errors.ts';
import type { Config } from './parse-config.ts';

/** The running process was asked to become another one. Nothing has changed. */
export class RestartNeeded extends CoinslotError {
  readonly code = 'restart_needed';
  readonly status = 500;
  readonly hint =
    'Restart the gateway for them, or take the change back; everything else can be reloaded.';
  constructor(keys: readonly string[]) {
    super(`${keys.join(', ')} can't be changed while the gateway runs.`);
  }
}

/** What the process is built around: sockets, database, keys, and the money that is on its way. */
const FIXED = [
  'listen',
  'operator',
  'database',
  'mode',
  'payments',
  'secret',
  'trustProxy',
  'publicUrl',
  'confirmations',
  'quotes',
  'refundWith',
] as const satisfies readonly (keyof Config)[];

/** The keys, as written in the config, that differ and can't be changed while the gateway runs. */
export function needsRestart(from: Config, to: Config): string[] {
  const changed: string[] = FIXED.filter((key) => !isDeepStrictEqual(from[key], to[key]));
  if (from.limits.headerBytes !== to.limits.headerBytes) changed.push('limits.headerBytes');
  if (from.timeouts.requestMs !== to.timeouts.requestMs) changed.push('timeouts.request');
  if (from.timeouts.settleMs !== to.timeouts.settleMs) changed.push('timeouts.settle');
  return changed;
}
