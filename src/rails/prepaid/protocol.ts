/**
 * API keys as text: `cs_live_<id>_<secret>`. The id names the key and its balance and stays when the
 * secret is rotated; the part before the secret may be shown. Only the SHA-256 of the whole is stored.
 */

import { hash } from 'node:crypto';
import { newId, type Random } from '../../core/id.ts';
import type { Mode } from '../../core/ports/ledger.ts';

export interface ParsedApiKey {
  readonly id: string;
  /** SHA-256 (hex) of the whole key; the secret has 128 bits, so a fast hash is enough. */
  readonly secretHash: string;
  readonly mode: Mode;
}

export interface NewApiKey {
  readonly id: string;
  /** The secret text: shown once, never stored. */
  readonly key: string;
  /** What may be shown and logged. */
  readonly prefix: string;
  readonly secretHash: string;
}

/** Ids and secrets are 23 characters of base 58: more than 128 bits each. */
const KEY = /^cs_(live|test)_([1-9A-HJ-NP-Za-km-z]{23})_[1-9A-HJ-NP-Za-km-z]{23}$/;

/** Makes a key; with the `id` of an existing one, a new secret for it. Throws RangeError on an id that is not ours. */
export function newApiKey(
  mode: Mode,
  random: Random,
  id: string = newId('key', random),
): NewApiKey {
  const prefix = `cs_${mode}_${id.slice('key_'.length)}`;
  const key = `${prefix}${newId('', random)}`;
  if (parseApiKey(key)?.id !== id) throw new RangeError(`${id} is not the id of an API key`);
  return { id, key, prefix, secretHash: sha256(key) };
}

/** Reads a key without looking it up; null when the text can't be one. Never throws. */
export function parseApiKey(text: string): ParsedApiKey | null {
  const match = KEY.exec(text);
  if (match === null) return null;
  return { id: `key_${match[2]}`, secretHash: sha256(text), mode: match[1] as Mode };
}

function sha256(text: string): string {
  return hash('sha256', text);
}
