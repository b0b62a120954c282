/** The limits within which a fetch pays. */

import { MoneyFormatError, parseUsd } from '../core/money.ts';
import { PayOptionsInvalid } from './errors.ts';

/** Amounts in dollars, such as `$0.05`. */
export interface BudgetOptions {
  /** The most that one call may cost. */
  readonly perCall: string;
  /** The most that all calls of a UTC day may cost; omitted: no limit. */
  readonly perDay?: string | undefined;
  /** Hosts (`api.example.com`, or with a port) that may be paid and get the API key; omitted: any. */
  readonly hosts?: readonly string[] | undefined;
}

export interface Budget {
  /** USD atoms. */
  readonly perCall: bigint;
  /** USD atoms; null for no limit. */
  readonly perDay: bigint | null;
  /** Null for any. */
  readonly hosts: readonly string[] | null;
}

/** Throws PayOptionsInvalid with the name of the wrong option. */
export function parseBudget(options: BudgetOptions): Budget {
  return {
    perCall: dollars('budget.perCall', options.perCall),
    perDay: options.perDay === undefined ? null : dollars('budget.perDay', options.perDay),
    hosts: options.hosts?.map((host) => host.toLowerCase()) ?? null,
  };
}

export function allowsHost(budget: Budget, url: URL): boolean {
  return budget.hosts?.some((host) => host === url.hostname || host === url.host) ?? true;
}

function dollars(name: string, text: string): bigint {
  try {
    return parseUsd(text);
  } catch (error) {
    if (!(error instanceof MoneyFormatError)) throw error;
    throw new PayOptionsInvalid(`${name}: ${error.message}`);
  }
}
