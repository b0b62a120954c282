/** The shape of `models`: one base URL for any OpenAI or Anthropic client, over several providers. */

import { z } from 'zod';
import { priceValue } from './price-schema.ts';
import { readingShape } from './reading-schema.ts';
import { duration, percent, unitCount, usd, wholeNumber } from './scalars.ts';
import { upstreamHeaders, upstreamUrl } from './upstream-schema.ts';

const pattern = z
  .string()
  .min(1)
  .max(200)
  .meta({ examples: ['gpt-*'] });

const providerSchema = z
  .strictObject({
    kind: z.enum(['openai', 'anthropic']).describe('Which API it speaks.'),
    url: upstreamUrl.describe('Its base URL, with or without the version: /v1.'),
    headers: upstreamHeaders.default({}),
    concurrency: wholeNumber(64)
      .default(64)
      .describe('Requests at the same time; more go to the next one of an alias, or are 503.'),
    models: z.array(pattern).min(1).describe('Which models it has, by name or with a star.'),
    list: z
      .string()
      .min(1)
      .optional()
      .meta({ examples: ['openai'] })
      .describe('Whose list prices are its own; default: known by its URL, then by its name.'),
  })
  .describe('Where models run.');

const { contextTokens: _, computeMs: __, ...reading } = readingShape;

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
    timeout: duration('120s')
      .prefault('120s')
      .describe('Until the answer must be complete; a stream may run until then.'),
    free: z.boolean().default(true).describe('false keeps the free tier away from the models.'),
    chargeMax: z
      .boolean()
      .default(false)
      .describe('As for a route: wallets that pay exact amounts only pay the maximum.'),
    missingUsage: z
      .enum(['count', 'hold'])
      .default('count')
      .describe('As for a route: what an answer costs that states no usage.'),
    ...reading,
  })
  .describe('The model gateway: one base URL for any OpenAI or Anthropic client.');
