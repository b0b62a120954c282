/** The shape of the config, its defaults and the checks that need one value only. */

import { z } from 'zod';
import { freeSchema } from '../rails/free/config.ts';
import { prepaidSchema } from '../rails/prepaid/config.ts';
import { x402Schema } from '../rails/x402/config.ts';
import { modelsSchema } from './models-schema.ts';
import { priceDefinition } from './price-schema.ts';
import { ratesSchema } from './rates-schema.ts';
import { routeSchema } from './route-schema.ts';
import {
  cidr,
  database,
  duration,
  listenAddress,
  origin,
  publicUrl,
  size,
  usd,
  wholeNumber,
} from './scalars.ts';
import { upstreamSchema } from './upstream-schema.ts';

const paymentsSchema = z
  .strictObject({
    order: z
      .array(z.enum(['prepaid', 'x402', 'free']))
      .optional()
      .describe('Which rail is tried first; default: prepaid, x402, free.'),
    free: freeSchema.optional(),
    prepaid: prepaidSchema.optional(),
    x402: x402Schema.optional(),
  })
  .describe('How callers can pay; a rail left out is off.');

const limitsSchema = z
  .strictObject({
    headerBytes: size('16KiB', 8192).prefault('16KiB'),
    bodyBytes: size('10MiB', 0).prefault('10MiB'),
    concurrency: wholeNumber(2048)
      .default(2048)
      .describe('Requests at the same time; more are 503.'),
    requestsPerMinute: z
      .strictObject({
        ip: wholeNumber(6000).default(6000),
        key: wholeNumber(12_000).default(12_000),
        wallet: wholeNumber(12_000).default(12_000),
      })
      .prefault({}),
    unpaidPerMinute: wholeNumber(3000).default(3000).describe('402 answers for one IP address.'),
    failuresPerMinute: wholeNumber(300)
      .default(300)
      .describe('Upstream failures, which are free, for one payer and for one IP address.'),
  })
  .describe('How much at most; beyond it 413, 429, 431 or 503.');

const timeoutsSchema = z.strictObject({
  connect: duration('5s').prefault('5s').describe('To connect to an upstream.'),
  head: duration('60s').prefault('60s').describe('Until status and headers of the upstream.'),
  idle: duration('30s').prefault('30s').describe('Between two parts of its body.'),
  request: duration('30s').prefault('30s').describe('Until the client has sent its request.'),
  settle: duration('10s').prefault('10s').describe('Until a settlement counts as unknown.'),
});

const exposureSchema = z
  .strictObject({
    perPayer: usd('$1').prefault('$1'),
    perNetwork: usd('$50').prefault('$50'),
  })
  .describe('What may be served and not final yet.');

const confirmationCount = z
  .int()
  .min(1)
  .max(10_000)
  .meta({ examples: [1] });

export const configSchema = z
  .strictObject({
    // Editors put the address of the JSON Schema here.
    $schema: z.string().optional(),
    listen: listenAddress('127.0.0.1:4020').prefault('127.0.0.1:4020'),
    publicUrl: publicUrl('https://api.example.com')
      .optional()
      .describe('For absolute links; else the host that the client used.'),
    operator: listenAddress('127.0.0.1:4021')
      .optional()
      .describe('Where only the operator listens; keep it off the public net.'),
    database: database('sqlite:coinslot.db')
      .prefault('sqlite:coinslot.db')
      .describe('A relative file is found from the folder of the config file.'),
    mode: z
      .enum(['test', 'live'])
      .optional()
      .describe('Default: test when all networks are test networks, else live.'),
    trustProxy: z
      .array(cidr('10.0.0.0/8'))
      .default([])
      .describe('Address ranges whose forwarded headers count.'),
    upstreams: z.record(z.string(), upstreamSchema).default({}),
    payments: paymentsSchema.prefault({}),
    routes: z
      .record(z.string(), routeSchema)
      .default({})
      .describe('The price list: "METHOD /path" and its price.'),
    models: modelsSchema.optional(),
    rates: ratesSchema.default({}),
    limits: limitsSchema.prefault({}),
    timeouts: timeoutsSchema.prefault({}),
    exposure: exposureSchema.prefault({}),
    quotes: z
      .strictObject({
        ttl: duration('5m').prefault('5m').describe('How long an offer holds.'),
        grace: duration('30s')
          .prefault('30s')
          .describe('How long after that what was signed in time is still honoured.'),
      })
      .prefault({}),
    replay: z
      .strictObject({
        ttl: duration('1h').prefault('1h'),
        maxBytes: size('64KiB', 0).prefault('64KiB'),
      })
      .prefault({})
      .describe('How long and up to which size answers are kept for the same credential.'),
    confirmations: z
      .union([confirmationCount, z.record(z.string(), confirmationCount)])
      .default(1)
      .describe('Blocks until a settlement counts as final: one number, or one per network.'),
    exact: z
      .strictObject({ bufferBytes: size('64KiB', 0).prefault('64KiB') })
      .prefault({})
      .describe('Answers up to this size are complete before x402 exact settles.'),
    secret: z
      .string()
      .refine((text) => Buffer.byteLength(text) >= 32, {
        error: 'is shorter than 32 bytes\nMake one with: openssl rand -hex 32',
      })
      .optional()
      .describe('Signs quotes; omitted: made once and kept in the database.'),
    refundWith: z.string().min(1).optional().describe('Key that pays refunds back.'),
    cors: z
      .strictObject({ origins: z.array(origin('*')).default(['*']) })
      .prefault({})
      .describe('Web pages that may call the gateway.'),
  })
  .describe('Coinslot: prices beside routes, paid over HTTP 402.');

/** The config as written, before defaults. */
export type ConfigInput = z.input<typeof configSchema>;

/** The config with defaults, before the checks across values. */
export type ParsedConfig = z.output<typeof configSchema>;

/** The JSON Schema of the config file, for editors. */
export function configJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(configSchema, { io: 'input', target: 'draft-7' });
  return { ...schema, definitions: { price: priceDefinition } };
}
