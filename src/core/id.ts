/** Randomness is passed in: returns that many unpredictable bytes. */
export type Random = (bytes: number) => Uint8Array;

const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
/** 23 characters of at least 5.6 bits each: more than 128 bits. */
const RANDOM_CHARS = 23;
/** Milliseconds until the year 6000. */
const TIME_CHARS = 8;

/** An unguessable id such as `key_7Yk…`: 23 characters of base 58. */
export function newId(prefix: string, random: Random): string {
  return `${prefix}_${randomChars(random)}`;
}

/** The same with the time in front, so that ids that are made together are stored together. */
export function newTimedId(prefix: string, random: Random, nowMs: number): string {
  let time = '';
  let rest = Math.max(0, Math.trunc(nowMs));
  for (let i = 0; i < TIME_CHARS; i++) {
    time = ALPHABET.charAt(rest % 58) + time;
    rest = Math.floor(rest / 58);
  }
  return `${prefix}_${time}${randomChars(random)}`;
}

function randomChars(random: Random): string {
  let text = '';
  for (const byte of random(RANDOM_CHARS)) text += ALPHABET.charAt(byte % 58);
  return text;
}
