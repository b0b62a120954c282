/** Reads the fields of a request's body. What is wrong is the caller's to mend: 400, which the gateway does not charge. */

export type Fields = Readonly<Record<string, unknown>>;

/** The caller's mistake; the message names the field. */
export class BadRequest extends Error {
  override readonly name = 'BadRequest';
}

/** Longer texts would cost more at the model than the call brings in. */
const TEXT_CHARS_MAX = 20_000;
const NAME_CHARS_MAX = 100;
const LIST_LENGTH_MAX = 20;

export function readFields(body: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    throw new BadRequest('The body is not JSON.');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new BadRequest('The body must be a JSON object.');
  return value as Fields;
}

export function readText(fields: Fields, name: string, charsMax: number = TEXT_CHARS_MAX): string {
  const value = fields[name];
  if (typeof value !== 'string' || value.trim() === '')
    throw new BadRequest(`${name} must be a text.`);
  if (value.length > charsMax)
    throw new BadRequest(`${name} must have at most ${charsMax} characters.`);
  return value;
}

/** A short text on one line, such as a topic or a language: it becomes part of what the model is told to do. */
export function readName(fields: Fields, name: string, charsMax: number = NAME_CHARS_MAX): string {
  const text = readText(fields, name, charsMax).trim();
  if (/[\r\n]/.test(text)) throw new BadRequest(`${name} must be one line.`);
  return text;
}

export function readNames(fields: Fields, name: string, lengthMin: number): string[] {
  const value = fields[name];
  if (!Array.isArray(value) || value.length < lengthMin || value.length > LIST_LENGTH_MAX)
    throw new BadRequest(`${name} must be a list of ${lengthMin} to ${LIST_LENGTH_MAX} names.`);
  const names = value.map((_, index) => readName({ [name]: value[index] }, name));
  if (new Set(names).size < names.length) throw new BadRequest(`${name} must not repeat a name.`);
  return names;
}

export function readChoice<Choice extends string>(
  fields: Fields,
  name: string,
  choices: readonly Choice[],
  fallback: Choice,
): Choice {
  const value = fields[name] ?? fallback;
  const choice = choices.find((one) => one === value);
  if (choice === undefined) throw new BadRequest(`${name} must be one of ${choices.join(', ')}.`);
  return choice;
}
