/** The payer's side of prepaid keys: where the key goes in a request. */

/** What clients send when they must send a key and have none. */
const PLACEHOLDERS: ReadonlySet<string> = new Set(['', 'x402', 'unused', 'none']);

/**
 * Puts the key into `x-api-key`, unless the caller put one there that is no placeholder such as
 * `unused`. Returns whether the key was added.
 */
export function addApiKey(headers: Headers, apiKey: string): boolean {
  const present = headers.get('x-api-key');
  if (present !== null && !PLACEHOLDERS.has(present.trim().toLowerCase())) return false;
  headers.set('x-api-key', apiKey);
  return true;
}
