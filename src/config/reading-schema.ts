/** What an operator says about the models behind a route, as far as a request alone does not tell. */

import { z } from 'zod';
import { unitCount, wholeNumber } from './scalars.ts';

export const readingShape = {
  contextTokens: unitCount('128k')
    .optional()
    .describe(
      'Input tokens that the models take at most; it bounds requests that do not tell how large they are.',
    ),
  imageTokens: unitCount('2048')
    .optional()
    .describe('Input tokens of one image at most; default: by the known rules of the model.'),
  audioSeconds: wholeNumber(600)
    .optional()
    .describe('The longest audio that is taken; default: only formats whose length can be told.'),
  webSearches: wholeNumber(5)
    .optional()
    .describe('Web searches of the model that one request may cause; default: none.'),
  allow: z
    .array(z.string().meta({ examples: ['store'] }))
    .default([])
    .describe('Fields that are refused for their cost, and that the operator vouches for.'),
  computeMs: z
    .strictObject({
      max: unitCount('60000')
        .optional()
        .describe('Milliseconds that one request computes at most.'),
      header: z
        .string()
        .regex(/^[A-Za-z0-9-]{1,64}$/, {
          error: 'is not a header name\nWrite a name such as x-compute-ms.',
        })
        .optional()
        .meta({ examples: ['x-compute-ms'] })
        .describe("Header of the answer that states them; default: the upstream's time."),
    })
    .optional()
    .describe('For prices per computeMs and computeSecond.'),
};

/** How requests and answers of a route are read. */
export interface ReadingOptions {
  /** Null: requests that do not tell how large they are are refused. */
  readonly contextTokensMax: number | null;
  readonly imageTokensMax: number | null;
  readonly audioSecondsMax: number | null;
  readonly webSearchesMax: number;
  readonly allow: readonly string[];
  readonly computeMsMax: number | null;
  /** In lower case. */
  readonly computeMsHeader: string | null;
}

interface ParsedReading {
  readonly contextTokens?: number | undefined;
  readonly imageTokens?: number | undefined;
  readonly audioSeconds?: number | undefined;
  readonly webSearches?: number | undefined;
  readonly allow: readonly string[];
  readonly computeMs?:
    | { readonly max?: number | undefined; readonly header?: string | undefined }
    | undefined;
}

export function readingOptions(parsed: ParsedReading): ReadingOptions {
  return {
    contextTokensMax: parsed.contextTokens ?? null,
    imageTokensMax: parsed.imageTokens ?? null,
    audioSecondsMax: parsed.audioSeconds ?? null,
    webSearchesMax: parsed.webSearches ?? 0,
    allow: parsed.allow,
    computeMsMax: parsed.computeMs?.max ?? null,
    computeMsHeader: parsed.computeMs?.header?.toLowerCase() ?? null,
  };
}
