/** The shape of the config, its defaults and the checks that need one value only. */

import { z } from 'zod';
import { freeSchema } from '../rails/free/config.ts';
import { prepaidSchema } from '../rails/prepaid/config.ts';
import { x402Schema } from '../rails/x402/config.ts';
import {
  cidr,
  database,
  duration,
  httpUrl,
  listenAddress,
  origin,
  price,
  publicUrl,
  size,
  usd,
} from './scalars.ts';

const count = (example: number) =>
  z
    .int()
    .min(1)
    .max(1_000_000_000)
    .meta({ examples: [example] });

/** Framing headers belong to the connection; setting them would let a request be read as two. */
const FRAMING = /^(connection|content-length|transfer-encoding|upgrade|te|trailer|keep-alive)$/i;

const headerName = z
  .string()
  .refine((name) => /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/.test(name), {
    error: 'is not a header name\nWrite a name such as authorization.',
  })
  .refine((name) => !FRAMING.test(name), {
    error: 'is a header that the gateway sets itself\nRemove it.',
  });

const headerValue = z.string().refine((value) => /^[\t\x20-\x7e\x80-\xff]*$/.test(value), {
  error: 'has a line break or a control character\nWrite the value on one line.',
});

const headers = z
  .record(headerName, headerValue)
  .describe('Set on every request to the upstream, replacing what the client sent.');

const upstreamSchema = z
  .strictObject({
    url: httpUrl('https://api.example.com').describe(
      'Where requests go; its path is put before that of the route.',
    ),
    headers: headers.default({}),
    connections: count(128).default(128).describe('Connections at most; more requests wait.'),
  })
  .describe('The API behind the gateway.');

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

/** One route; its upstream and its price are required. */
export const routeSchema = z
  .strictObject({
    upstream: z.string().describe('Name of an upstream.'),
    price: price.describe('Dollars per call, such as $0.006, or free.'),
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
    terms: z.string().max(2000).optional().describe('Terms or a link to them, for the offers.'),
  })
  .describe('A method and path with an upstream and a price.');

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
    concurrency: count(2048).default(2048).describe('Requests at the same time; more are 503.'),
    requestsPerMinute: z
      .strictObject({
        ip: count(6000).default(6000),
        key: count(12_000).default(12_000),
        wallet: count(12_000).default(12_000),
      })
      .prefault({}),
    unpaidPerMinute: count(3000).default(3000).describe('402 answers for one IP address.'),
    failuresPerMinute: count(300)
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
    upstreams: z.record(z.string(), upstreamSchema),
    payments: paymentsSchema.prefault({}),
    routes: z
      .record(z.string(), routeSchema)
      .describe('The price list: "METHOD /path" and its price.'),
    limits: limitsSchema.prefault({}),
    timeouts: timeoutsSchema.prefault({}),
    exposure: exposureSchema.prefault({}),
    quotes: z.strictObject({ ttl: duration('5m').prefault('5m') }).prefault({}),
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
  return z.toJSONSchema(configSchema, { io: 'input', target: 'draft-7' });
}
