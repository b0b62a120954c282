/** What every kind of upstream has: where it is, and what is sent there. */

import { z } from 'zod';
import { httpUrl, wholeNumber } from './scalars.ts';

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

export const upstreamHeaders = z
  .record(headerName, headerValue)
  .describe('Set on every request to the upstream, replacing what the client sent.');

export const upstreamUrl = httpUrl('https://api.example.com').describe(
  'Where requests go; its path is put before that of the route.',
);

export const upstreamSchema = z
  .strictObject({
    url: upstreamUrl,
    headers: upstreamHeaders.default({}),
    connections: wholeNumber(128).default(128).describe('Connections at most; more requests wait.'),
    kind: z
      .enum(['openai', 'anthropic', 'http'])
      .optional()
      .describe('Which API it speaks; default: recognised by the path of the request.'),
  })
  .describe('The API behind the gateway.');
