/** Reads the parts of a form (RFC 7578) where they stand; nothing is copied. */

import type { HeaderList } from '../core/exchange.ts';
import { findHeader } from '../core/exchange.ts';
import { malformed } from './read-fields.ts';

export interface FormPart {
  readonly name: string;
  readonly isFile: boolean;
  readonly bytes: Buffer;
}

const PARTS_MAX = 200;
const HEAD_BYTES_MAX = 4_096;
const BOUNDARY = /^multipart\/form-data\s*;\s*boundary=(?:"([^"\\]{1,70})"|([^\s;"]{1,70}))\s*$/i;
const DISPOSITION =
  /^form-data\s*;\s*name="([^"\\%\r\n]{1,100})"(\s*;\s*filename="[^"\r\n]*"(\s*;\s*filename\*=[^;"\r\n]*)?)?\s*$/i;

/** Throws RequestMalformed for a form that two readers could understand differently. */
export function readForm(headers: HeaderList, body: Buffer): readonly FormPart[] {
  const type = findHeader(headers, 'content-type')?.trim() ?? '';
  const match = BOUNDARY.exec(type);
  const boundary = match?.[1] ?? match?.[2];
  if (boundary === undefined)
    throw malformed('Content-Type', 'must be multipart/form-data with a boundary.');
  const mark = Buffer.from(`--${boundary}`);
  const parts: FormPart[] = [];
  let at = mark.length;
  if (body.indexOf(mark) !== 0) throw malformed('The form', 'must begin with its boundary.');
  while (body.toString('latin1', at, at + 2) !== '--') {
    if (body.toString('latin1', at, at + 2) !== '\r\n') throw malformed('The form', 'is broken.');
    const end = body.indexOf(mark, at);
    // A reader that takes other line ends would see a boundary here, and other fields behind it.
    if (end === -1 || body.toString('latin1', end - 2, end) !== '\r\n')
      throw malformed('The form', 'is cut off, or has its boundary within a part.');
    parts.push(readPart(body, at + 2, end - 2));
    if (parts.length > PARTS_MAX) throw malformed('The form', `has more than ${PARTS_MAX} parts.`);
    at = end + mark.length;
  }
  if (body.indexOf(mark, at) !== -1) throw malformed('The form', 'goes on behind its end.');
  return parts;
}

function readPart(body: Buffer, from: number, to: number): FormPart {
  const headEnd = body.indexOf('\r\n\r\n', from - 2);
  if (headEnd === -1 || headEnd > to || headEnd - from > HEAD_BYTES_MAX)
    throw malformed('The form', 'has a part without a head.');
  let disposition: RegExpExecArray | null = null;
  for (const line of body.toString('utf8', from, headEnd).split('\r\n')) {
    const [name = '', ...value] = line.split(':');
    const lower = name.toLowerCase();
    if (lower === 'content-transfer-encoding' || /\s$|^\s|[\r\n]/.test(name))
      throw malformed('The form', 'has a part with a head that is not served here.');
    if (lower !== 'content-disposition') continue;
    if (disposition) throw malformed('The form', 'names a part twice.');
    disposition = DISPOSITION.exec(value.join(':').trim());
    if (!disposition) throw malformed('The form', 'has a part whose name cannot be read.');
  }
  if (!disposition) throw malformed('The form', 'has a part without a name.');
  const bytes = body.subarray(Math.min(headEnd + 4, to), to);
  return { name: disposition[1] as string, isFile: disposition[2] !== undefined, bytes };
}

/** The fields as texts, as they stand. Throws RequestMalformed for one that stands twice or came as a file. */
export function fieldsOf(
  parts: readonly FormPart[],
  files: ReadonlySet<string>,
): Readonly<Record<string, string>> {
  const fields: Record<string, string> = Object.create(null);
  for (const { name, isFile, bytes } of parts) {
    if (files.has(name)) {
      if (!isFile) throw malformed(name, 'must be a file.');
      continue;
    }
    if (isFile) throw malformed(name, 'must not be a file.');
    if (name in fields && !name.endsWith('[]')) throw malformed(name, 'stands twice in the form.');
    fields[name] = bytes.toString('utf8');
  }
  return fields;
}

/** A whole number in a form; null where it is absent. */
export function wholeInForm(
  fields: Readonly<Record<string, string>>,
  name: string,
  min: number,
  max: number,
): number | null {
  const text = fields[name];
  if (text === undefined) return null;
  const value = /^[0-9]{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max))
    throw malformed(name, `must be a whole number from ${min} to ${max}.`);
  return value;
}
