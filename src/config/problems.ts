import type { z } from 'zod';
import { closestWord } from '../core/closest-word.ts';
import { knownKeys, schemaExample } from './known-keys.ts';

export type PathSegments = readonly (string | number)[];

/** One thing wrong with a config: where, what, and what to write instead. */
export interface ConfigProblem {
  /** The path in the file, such as `payments.free.callsPerDay`; empty for the file as a whole. */
  readonly path: string;
  readonly message: string;
  /** One line: what to do next. */
  readonly hint: string;
  /** Line of the file, from 1; only of a config that was loaded from YAML. */
  readonly line?: number;
}

/** A config that cannot be used. Lists every problem at once, one per line of `message`. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly code = 'config_invalid';
  readonly problems: readonly ConfigProblem[];
  /** The file it was loaded from; null when the config was passed in. */
  readonly file: string | null;
  constructor(problems: readonly ConfigProblem[], file: string | null = null) {
    super(problems.map((problem) => formatProblem(problem, file)).join('\n'));
    this.problems = problems;
    this.file = file;
  }
}

/** `coinslot.yaml:12: payments.free.callsPerDay: must be a whole number. Write for example 10.` */
function formatProblem(problem: ConfigProblem, file: string | null): string {
  const position = [file, problem.line].filter((part) => part !== null && part !== undefined);
  const where = [position.join(':'), problem.path].filter((part) => part !== '');
  return `${[...where, problem.message].join(': ')}. ${problem.hint}`;
}

/** A problem with its position still as segments, so that its line can be found. */
export interface FoundProblem {
  readonly at: PathSegments;
  readonly message: string;
  readonly hint: string;
}

/** Collects problems; the first of each place wins, because later ones follow from it. */
export class ProblemList {
  readonly #found: FoundProblem[] = [];
  readonly #places = new Set<string>();

  add(at: PathSegments, message: string, hint: string): void {
    const place = JSON.stringify(at);
    if (this.#places.has(place)) return;
    this.#places.add(place);
    this.#found.push({ at, message, hint });
  }

  get all(): readonly FoundProblem[] {
    return this.#found;
  }
}

/** Text from the file must not break the report into other lines, nor flood it. */
export function oneLine(text: string): string {
  const plain = text.replace(/\p{Cc}+/gu, ' ');
  return plain.length > 300 ? `${plain.slice(0, 299)}…` : plain;
}

type Issue = z.core.$ZodIssue;

/** Adds the issues of a zod parse; a message may carry its own hint on a second line. */
export function addIssues(list: ProblemList, issues: readonly Issue[], base: PathSegments): void {
  for (const issue of issues) {
    const at = [...base, ...issue.path.map((part) => (typeof part === 'symbol' ? '' : part))];
    if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys) list.add([...at, key], 'unknown key', hintForUnknown(at, key));
      continue;
    }
    if (issue.code === 'invalid_union') {
      addIssues(list, closestBranch(issue.errors), at);
      continue;
    }
    if (issue.code === 'invalid_key') {
      addIssues(list, issue.issues, at);
      continue;
    }
    const [message = '', hint] = issue.message.split('\n', 2);
    list.add(at, hint === undefined ? plainMessage(issue) : message, hint ?? hintFor(issue, at));
  }
}

/** The branch that got furthest: the one whose first complaint lies deepest. */
function closestBranch(branches: readonly (readonly Issue[])[]): readonly Issue[] {
  const depth = (issues: readonly Issue[]): number => issues[0]?.path.length ?? 0;
  return branches.reduce(
    (best, branch) => (depth(branch) > depth(best) ? branch : best),
    branches[0] ?? [],
  );
}

function plainMessage(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_type':
      return issue.input === undefined
        ? 'is missing'
        : `must be ${withArticle(issue.expected)}, not ${nameOf(issue.input)}`;
    case 'invalid_value':
      return issue.input === undefined
        ? 'is missing'
        : `must be ${issue.values.map(String).join(' or ')}`;
    case 'too_small':
      return `must be at least ${issue.minimum}`;
    case 'too_big':
      return `must be at most ${issue.maximum}`;
    default:
      return issue.message;
  }
}

function hintFor(issue: Issue, at: PathSegments): string {
  const example = schemaExample(at);
  const missing =
    (issue.code === 'invalid_type' || issue.code === 'invalid_value') && issue.input === undefined;
  if (missing) return example === undefined ? 'Add it.' : `Add it, such as ${example}.`;
  if (issue.code === 'invalid_value') {
    const values = issue.values.map(String);
    const meant = typeof issue.input === 'string' ? closestWord(issue.input, values) : undefined;
    return meant === undefined ? 'Write one of these.' : `Did you mean ${meant}?`;
  }
  if (example !== undefined) return `Write for example ${example}.`;
  if (issue.code === 'invalid_type' && issue.input === null)
    return 'Write its values, or {} for a section without options, or remove the key.';
  return 'Correct it, or remove the key if it is not needed.';
}

function hintForUnknown(at: PathSegments, key: string): string {
  const known = knownKeys(at);
  const meant = closestWord(key, known);
  if (meant !== undefined) return `Did you mean ${meant}?`;
  return known.length === 0 ? 'Remove it.' : `Known here: ${known.join(', ')}.`;
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  int: 'a whole number',
  number: 'a number',
  string: 'text',
  boolean: 'true or false',
  object: 'a section of keys',
  record: 'a section of keys',
  array: 'a list',
};

function withArticle(expected: string): string {
  return TYPE_NAMES[expected] ?? expected;
}

function nameOf(input: unknown): string {
  if (input === null) return 'empty';
  if (Array.isArray(input)) return 'a list';
  return TYPE_NAMES[typeof input] ?? typeof input;
}
