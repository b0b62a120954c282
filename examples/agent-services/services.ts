/** The catalogue: what each route reads from the body, and what it answers. */

import { randomUUID } from 'node:crypto';
import { type AskModel, readAnswerChoice, readAnswerObject } from './ask-model.ts';
import type { Memory } from './memory.ts';
import {
  BadRequest,
  type Fields,
  readChoice,
  readName,
  readNames,
  readText,
} from './read-fields.ts';

export interface Tools {
  readonly ask: AskModel;
  readonly memory: Memory;
  /** Who pays, as the gateway says: `key:…`, `wallet:…`, or for a free call `ip:…`. */
  readonly payer: string;
}

type Service = (fields: Fields, tools: Tools) => Promise<object> | object;

const LENGTHS = {
  short: 'one or two sentences',
  medium: 'one paragraph',
  long: 'three paragraphs',
} as const;
const MOODS = ['positive', 'negative', 'neutral', 'mixed'];

export const services: ReadonlyMap<string, Service> = new Map<string, Service>([
  ['/summarize', summarize],
  ['/extract', extract],
  ['/research', research],
  ['/translate', translate],
  ['/classify', classify],
  ['/sentiment', sentiment],
  ['/memory/store', store],
  ['/memory/search', search],
]);

async function summarize(fields: Fields, { ask }: Tools): Promise<object> {
  const length = readChoice(fields, 'length', ['short', 'medium', 'long'], 'short');
  const text = readText(fields, 'text');
  return {
    summary: await ask(`Summarise the text in ${LENGTHS[length]}. Write nothing else.`, text),
  };
}

async function extract(fields: Fields, { ask }: Tools): Promise<object> {
  const names = readNames(fields, 'fields', 1);
  const task = `Answer with one JSON object with exactly these keys: ${JSON.stringify(names)}. Each value is what the text says of it, or null.`;
  const found = readAnswerObject(await ask(task, readText(fields, 'text')));
  return {
    data: Object.fromEntries(
      names.map((name) => [name, Object.hasOwn(found, name) ? found[name] : null]),
    ),
  };
}

async function research(fields: Fields, { ask }: Tools): Promise<object> {
  const topic = readName(fields, 'topic', 500);
  const task =
    'Report what you know of the topic in at most 400 words: facts first, then what is disputed or unknown.';
  return { topic, report: await ask(task, topic) };
}

async function translate(fields: Fields, { ask }: Tools): Promise<object> {
  const language = readName(fields, 'language');
  const text = readText(fields, 'text', 2_000);
  const task = `Translate the text into this language: ${language}. Write nothing else.`;
  return { translation: await ask(task, text), language };
}

async function classify(fields: Fields, { ask }: Tools): Promise<object> {
  return {
    category: await choose(ask, readText(fields, 'text'), readNames(fields, 'categories', 2)),
  };
}

async function sentiment(fields: Fields, { ask }: Tools): Promise<object> {
  return { sentiment: await choose(ask, readText(fields, 'text'), MOODS) };
}

async function choose(ask: AskModel, text: string, choices: readonly string[]): Promise<string> {
  const task = `Answer with exactly one of ${JSON.stringify(choices)}: the one that fits the text best.`;
  return readAnswerChoice(await ask(task, text), choices);
}

function store(fields: Fields, { memory, payer }: Tools): object {
  const text = readText(fields, 'text');
  const space = readSpace(fields) ?? (isKnown(payer) ? null : randomUUID());
  const id = memory.store(space === null ? payer : `space:${space}`, text);
  return space === null ? { id } : { id, space };
}

function search(fields: Fields, { memory, payer }: Tools): object {
  const query = readText(fields, 'query', 500);
  const space = readSpace(fields);
  if (space === null && !isKnown(payer))
    throw new BadRequest('space must be the one that /memory/store answered to a free call.');
  return { results: memory.search(space === null ? payer : `space:${space}`, query) };
}

/** An address is not a person: many callers share one, so free calls never share a memory by it. */
function isKnown(payer: string): boolean {
  return !payer.startsWith('ip:');
}

function readSpace(fields: Fields): string | null {
  if (fields.space === undefined) return null;
  const space = readName(fields, 'space');
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(space))
    throw new BadRequest('space must be one that /memory/store has answered.');
  return space;
}
