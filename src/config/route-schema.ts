import { z } from 'zod';
import { priceValue } from './price-schema.ts';
import { readingShape } from './reading-schema.ts';
import { duration, unitCount } from './scalars.ts';

const chargeOn = z
  .array(
    z
      .int()
      .min(400)
      .max(499)
      .refine((status) => status !== 408 && status !== 429, {
        error: 'is an upstream failure, which is free\nRemove it.',
      })
      .meta({ examples: [404] }),
  )
  .default([])
  .describe('Statuses of the upstream from 400 to 499 that are a product and are charged.');

const unitSchema = z
  .strictObject({
    header: z
      .string()
      .regex(/^[A-Za-z0-9-]{1,64}$/, {
        error: 'is not a header name\nWrite a name such as x-gpu-ms.',
      })
      .optional()
      .meta({ examples: ['x-gpu-ms'] })
      .describe("Header of the upstream's answer that says how much."),
    json: z
      .string()
      .regex(/^[^.\s]{1,64}(\.[^.\s]{1,64}){0,7}$/, {
        error: 'is not a path in a JSON body\nWrite keys with dots between, such as usage.pages.',
      })
      .optional()
      .meta({ examples: ['usage.pages'] })
      .describe('Where the JSON body of the answer says how much.'),
    max: unitCount('60000').describe('More than this is never counted for one call.'),
  })
  .describe("A unit of the route's own.");

/** One route; its upstream and its price are required. */
export const routeSchema = z
  .strictObject({
    upstream: z.string().describe('Name of an upstream.'),
    price: priceValue(
      'Money per call such as $0.006, free, or rates: see the price list.',
      '$0.006',
    ),
    units: z
      .record(z.string(), unitSchema)
      .default({})
      .describe("Units of the route's own, for its price."),
    missingUsage: z
      .enum(['count', 'hold'])
      .default('count')
      .describe(
        'An answer that states no usage costs what the gateway counts itself, or the whole hold.',
      ),
    maxOutputTokens: unitCount('4096')
      .prefault(4096)
      .describe('Output tokens that a request may ask for, and gets where it names no limit.'),
    shadow: z
      .boolean()
      .default(false)
      .describe('true meters and records what calls would cost, and charges nothing.'),
    chargeMax: z
      .boolean()
      .default(false)
      .describe(
        'true lets wallets that pay exact amounts only (x402 exact) buy a metered call at its maximum.',
      ),
    description: z
      .string()
      .max(500)
      .default('')
      .describe('What it does, for people and agents who read the offers.'),
    timeout: duration('120s')
      .prefault('120s')
      .describe('Until the answer must be complete; a stream may run until then.'),
    chargeOn,
    onAbort: z
      .enum(['capture-measured', 'drain', 'release'])
      .default('capture-measured')
      .describe('What a client that goes away after the request was sent on pays.'),
    onBreak: z
      .enum(['capture-measured', 'release'])
      .default('release')
      .describe('What is paid when the upstream breaks off a stream.'),
    free: z.boolean().default(true).describe('false keeps the free tier away from this route.'),
    ...readingShape,
    terms: z.string().max(2000).optional().describe('Terms or a link to them, for the offers.'),
  })
  .describe('A method and path with an upstream and a price.');
