/** A price in the JSON Schema of the config, for editors; what is wrong with one is judged by `parsePrice`. */

import { z } from 'zod';
import type { PriceInput } from '../pricing/price-input.ts';
import { SINGULAR_UNITS } from '../pricing/units.ts';

type Json = Readonly<Record<string, unknown>>;

const text = (description: string, ...examples: string[]): Json => ({
  type: 'string',
  description,
  examples,
});
const list = (properties: Json, required: readonly string[], description: string): Json => ({
  type: 'array',
  minItems: 1,
  description,
  items: { type: 'object', properties, required, additionalProperties: false },
});

const price: Json = { $ref: '#/definitions/price' };
const money = text('An amount: $0.05, 50 sat, 0.05 EURC.', '$0.05', '50 sat');
const percent = text('A percentage.', '20%');
const factor: Json = { type: ['number', 'string'], examples: [1.5] };
const rates: Json = {
  type: 'object',
  description: 'Rates by unit, or by the name of a unit of the route itself.',
  minProperties: 1,
  properties: Object.fromEntries(
    SINGULAR_UNITS.map((unit) => [unit, text(`Price of each ${unit}.`, '$0.15/1M', '$0.006')]),
  ),
  additionalProperties: { type: 'string' },
};
const discounts = (what: string): Json =>
  list(
    { above: text('Dollars.', '$100'), off: percent },
    ['above', 'off'],
    `Discounts by ${what}; the highest step counts.`,
  );

const rule: Json = {
  type: 'object',
  description: 'One of per, tiers, by, costPlus and service, and what applies to it.',
  additionalProperties: false,
  properties: {
    per: rates,
    tiers: {
      type: 'object',
      description: 'Rates by the size of the call: { inputTokens: { upTo 8k: …, above: … } }.',
      maxProperties: 1,
      additionalProperties: {
        type: 'object',
        additionalProperties: {
          anyOf: [
            { type: 'string' },
            {
              type: 'object',
              properties: { per: rates },
              required: ['per'],
              additionalProperties: false,
            },
          ],
        },
      },
    },
    by: {
      type: 'object',
      description: 'Prices by model, body.size or header.x-tier; the last pattern is "*".',
      maxProperties: 1,
      additionalProperties: { type: 'object', additionalProperties: price },
    },
    costPlus: {
      type: 'object',
      description: 'The list price of the model and a markup.',
      properties: { markup: percent },
      required: ['markup'],
      additionalProperties: false,
    },
    service: {
      type: 'object',
      description: 'An HTTP service that names the price of each call.',
      properties: { url: { type: 'string' }, timeout: text('Up to 30s.', '500ms') },
      required: ['url'],
      additionalProperties: false,
    },
    freeUnits: {
      type: 'object',
      description: 'What every call has free: { inputTokens: 1000 }.',
      additionalProperties: { type: ['integer', 'string'] },
    },
    min: { ...money, description: 'The least that an answered call costs.' },
    max: { ...money, description: 'The most that a call costs.' },
    schedule: list(
      {
        days: text('Default: every day.', 'mon-fri', 'sat,sun'),
        from: text('Default: 00:00.', '09:00'),
        to: text('Default: 24:00.', '18:00'),
        zone: text('Default: UTC.', 'Europe/Berlin'),
        factor,
      },
      ['factor'],
      'Factors by time; the first window that holds it counts.',
    ),
    surge: list(
      { aboveLoad: percent, factor },
      ['aboveLoad', 'factor'],
      "Factors by the gateway's own load; the highest step counts.",
    ),
    volume: discounts('what the payer spent this month'),
    balance: discounts("the payer's prepaid balance"),
  },
};

/** What `#/definitions/price` is in the JSON Schema. */
export const priceDefinition: Json = {
  anyOf: [text('free, or money per call.', '$0.006', '15 sat', 'free'), rule],
};

/** The value of a price key. Its checks need the route around it, so they are made across values. */
export const priceValue = (description: string, example: string) =>
  (z.unknown() as z.ZodType as z.ZodType<PriceInput, PriceInput>).meta({
    ...{ description, examples: [example] },
    allOf: [price],
  });
