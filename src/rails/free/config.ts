import { z } from 'zod';
import { MoneyFormatError, parseUsd } from '../../core/money.ts';

/** `payments.free`: calls that cost nothing, counted per UTC day. */
export const freeSchema = z
  .strictObject({
    callsPerDay: z
      .int()
      .min(0)
      .max(1_000_000_000)
      .describe('Free calls of one payer per UTC day; 0 is legal.')
      .meta({ examples: [10] }),
    per: z
      .enum(['ip', 'key'], {
        error: (issue) =>
          issue.input === 'wallet'
            ? 'per: wallet needs a signed sign-in, which is not available yet\nWrite per: ip or per: key.'
            : undefined,
      })
      .default('ip')
      .describe('Who is one payer: an IP address (IPv6: its /64) or an API key.'),
    perDayTotal: z
      .string({
        error: (issue) =>
          typeof issue.input === 'number'
            ? 'must be dollars in text, not a number\nWrite it with a dollar sign, such as $20.'
            : undefined,
      })
      .meta({ examples: ['$20'] })
      .transform((text, context) => {
        try {
          return parseUsd(text);
        } catch (error) {
          if (!(error instanceof MoneyFormatError)) throw error;
          context.addIssue({
            code: 'custom',
            message: `${error.message}\nWrite dollars, such as $20.`,
          });
          return z.NEVER;
        }
      })
      .optional()
      .describe('What all free calls of a day may be worth together; omitted: no ceiling.'),
  })
  .describe('The free tier; leave it out to turn it off.')
  .transform(({ callsPerDay, per, perDayTotal }) => ({
    callsPerDay,
    per,
    perDayTotal: perDayTotal ?? null,
  }));

/** Calls per UTC day; `perDayTotal` in USD atoms, null for no ceiling. */
export type FreeConfig = z.output<typeof freeSchema>;
