import { z } from 'zod';
import { MoneyFormatError } from '../core/money.ts';
import { parseRatio, type Ratio } from '../core/ratio.ts';
import type { RateSource } from '../pricing/next-rate.ts';
import { duration, percent } from './scalars.ts';

const HINT = 'Write dollars for one whole unit in text, such as "65000".';

const value = z
  .string({
    error: (issue) =>
      typeof issue.input === 'number' ? `must be text, not a bare number\n${HINT}` : undefined,
  })
  .meta({ examples: ['65000'] })
  .transform((text, context): Ratio => {
    try {
      const ratio = parseRatio(text);
      if (ratio.n > 0n) return ratio;
    } catch (error) {
      if (!(error instanceof MoneyFormatError)) throw error;
    }
    context.addIssue({ code: 'custom', message: `is not a value in dollars\n${HINT}` });
    return z.NEVER;
  });

/** Unlike an upstream's, this URL may have a query. */
function isRateUrl(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : null;
  return /^https?:$/.test(url?.protocol ?? '') && url?.username === '' && url.password === '';
}

const rateSchema = z
  .strictObject({
    usd: value.optional().describe('Dollars for one whole unit, fixed.'),
    url: z
      .string()
      .refine(isRateUrl, {
        error: 'is not an http or https URL\nWrite for example https://rates.example.com/btc.',
      })
      .optional()
      .meta({ examples: ['https://rates.example.com/btc'] })
      .describe('Where the rate is read, instead of usd.'),
    json: z
      .string()
      .regex(/^[^.\s]{1,64}(\.[^.\s]{1,64}){0,7}$/, {
        error: 'is not a path in a JSON body\nWrite keys with dots between, such as data.usd.',
      })
      .optional()
      .meta({ examples: ['data.usd'] })
      .describe('Where its JSON body says the dollars for one whole unit.'),
    every: duration('60s').prefault('60s').describe('How often it is read.'),
    staleAfter: duration('10m')
      .prefault('10m')
      .describe('From then on a reading is not believed; prices that need it are 503.'),
    tolerance: percent('10%')
      .prefault('10%')
      .describe('A change beyond this between two readings is not believed.'),
  })
  .transform((rate, context): RateSource => {
    if (rate.usd !== undefined && rate.url === undefined && rate.json === undefined)
      return { kind: 'fixed', usd: rate.usd };
    if (rate.usd === undefined && rate.url !== undefined && rate.json !== undefined)
      return {
        ...{ kind: 'read', url: rate.url, json: rate.json.split('.') },
        ...{ everyMs: rate.every, staleAfterMs: rate.staleAfter, tolerance: rate.tolerance },
      };
    context.addIssue({
      code: 'custom',
      message:
        'says neither a fixed value nor where to read it\nWrite usd: "65000", or url and json.',
    });
    return z.NEVER;
  });

const symbol = z.string().refine((name) => /^[A-Z][A-Z0-9]{1,11}$/.test(name) && name !== 'USD', {
  error: 'is not the symbol of a currency\nWrite for example BTC (which serves sat) or EURC.',
});

/** What one whole unit of a currency is worth: fixed, or read from an HTTP service. */
export const ratesSchema = z
  .record(symbol, rateSchema)
  .describe('Dollars per unit of a currency, for prices in other than dollars; BTC serves sat.');
