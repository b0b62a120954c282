/** Reads single fields of a message, each with the path that an error names. Throws X402FormatError and nothing else. */

import { isObject, type JsonObject, X402FormatError } from './protocol-json.ts';

const SIGNATURE_BYTES_MAX = 2048;

export function isAbsent(value: unknown): value is null | undefined {
  return value === undefined || value === null;
}

export function given<Key extends string, Value>(
  key: Key,
  value: Value | undefined,
): { [key in Key]?: Value } {
  return value === undefined ? {} : ({ [key]: value } as { [key in Key]: Value });
}

export function object(value: unknown, field: string): JsonObject {
  if (isAbsent(value)) throw new X402FormatError(field, 'is missing');
  if (!isObject(value)) throw new X402FormatError(field, 'is not an object');
  return value;
}

export function optionalObject(value: unknown, field: string): JsonObject | undefined {
  return isAbsent(value) ? undefined : object(value, field);
}

export function string(owner: JsonObject, key: string, parent?: string): string {
  const value = owner[key];
  const field = parent === undefined ? key : `${parent}.${key}`;
  if (isAbsent(value)) throw new X402FormatError(field, 'is missing');
  if (typeof value !== 'string') throw new X402FormatError(field, 'is not a string');
  return value;
}

export function optionalString(
  owner: JsonObject,
  key: string,
  parent?: string,
): string | undefined {
  return isAbsent(owner[key]) ? undefined : string(owner, key, parent);
}

export function seconds(value: unknown, field: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    throw new X402FormatError(field, 'is not a whole number of seconds');
  return value;
}

// One spelling per number: with leading zeros the same authorization could be written as many credentials.
const DECIMAL = /^(?:0|[1-9][0-9]{0,77})$/;
const UINT256_END = 1n << 256n;

export function uint256(value: unknown, field: string): bigint {
  if (isAbsent(value)) throw new X402FormatError(field, 'is missing');
  if (typeof value !== 'string' || !DECIMAL.test(value))
    throw new X402FormatError(field, 'is not a whole number as a decimal string');
  const number = BigInt(value);
  if (number >= UINT256_END) throw new X402FormatError(field, 'is 2^256 or more');
  return number;
}

const HEX = /^0x[0-9a-fA-F]*$/;

export function hexBytes(value: unknown, bytes: number, field: string): `0x${string}` {
  if (isAbsent(value)) throw new X402FormatError(field, 'is missing');
  if (!isHex(value, bytes, bytes))
    throw new X402FormatError(field, `is not 0x and ${2 * bytes} hexadecimal digits`);
  return value;
}

export function signature(value: unknown, field: string): `0x${string}` {
  if (isAbsent(value)) throw new X402FormatError(field, 'is missing');
  if (!isHex(value, 1, SIGNATURE_BYTES_MAX))
    throw new X402FormatError(
      field,
      `is not 0x and an even number of hexadecimal digits, at most ${2 * SIGNATURE_BYTES_MAX}`,
    );
  return value;
}

function isHex(value: unknown, bytesMin: number, bytesMax: number): value is `0x${string}` {
  if (typeof value !== 'string' || value.length % 2 !== 0) return false;
  const bytes = value.length / 2 - 1;
  return bytes >= bytesMin && bytes <= bytesMax && HEX.test(value);
}
