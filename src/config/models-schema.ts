/** The shape of `models`: one base URL for any OpenAI or Anthropic client, over several providers. */

import { z } from 'zod';
import { priceValue } from './price-schema.ts';
import { percent, unitCount, usd, wholeNumber } from './scalars.ts';
import { upstreamHeaders, upstreamUrl } from './upstream-schema.ts';

const pattern = z
  .string()
  .min(1)
  .max(200)
  .meta({ examples: ['gpt-*'] });

const providerSchema = z
  .strictObject({
    kind: z.enum(['openai', 'anthropic']).describe('Which API it speaks.'),
    url: upstreamUrl,
    headers: upstreamHeaders.default({}),
    concurrency: wholeNumber(64)
      .default(64)
      .describe('Requests at the same time; more go to the next one of an alias, or wait.'),
    models: z.array(pattern).min(1).describe('Which models it has, by name or with a star.'),
  })
  .describe('Where models run.');

export const modelsSchema = z
  .strictObject({
    providers: z.record(z.string(), providerSchema),
    aliases: z
      .record(z.string(), z.array(z.string().meta({ examples: ['openai/gpt-4o-mini'] })).min(1))
      .default({})
      .describe('Names of the gateway for provider/model, tried in order.'),
    markup: percent('20%')
      .optional()
      .describe('On list prices, for models that prices does not name.'),
    prices: z
      .record(z.string(), priceValue('Its price.', '$0.01'))
      .default({})
      .describe('Prices by provider/model, with stars; the first that matches counts.'),
    max: usd('$1').describe('The most that one call costs.'),
    maxOutputTokens: unitCount('4096')
      .prefault(4096)
      .describe('Output tokens that a request may ask for, and gets where it names no limit.'),
  })
  .describe('The model gateway: one base URL for any OpenAI or Anthropic client.');
