/** Randomness is passed in: returns that many unpredictable bytes. */
export type Random = (bytes: number) => Uint8Array;

const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';

/** An unguessable id such as `pay_7Yk…`: 22 characters of base 58, 128 bits. */
export function newId(prefix: string, random: Random): string {
  let value = 0n;
  for (const byte of random(16)) value = (value << 8n) | BigInt(byte);
  let text = '';
  for (let i = 0; i < 22; i++) {
    text = ALPHABET[Number(value % 58n)] + text;
    value /= 58n;
  }
  return `${prefix}_${text}`;
}
