import type { Log } from '../core/log.ts';
import { loadTokenizer, type Tokenizer } from './tokens.ts';

/** Only who sells tokens needs to count them; without the package a token is bounded by its bytes. */
export async function tokenizerOrNull(log: Log): Promise<Tokenizer | null> {
  try {
    return await loadTokenizer();
  } catch {
    log.warn(
      { install: 'npm install gpt-tokenizer' },
      'gpt-tokenizer is not installed: quotes of metered routes are bounded by bytes and higher than they need be',
    );
    return null;
  }
}
