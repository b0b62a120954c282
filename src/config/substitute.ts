import type { PathSegments, ProblemList } from './problems.ts';

/** Environment variables by name. */
export type Env = Readonly<Record<string, string | undefined>>;

export interface Substituted {
  /** A copy of the input with every `${NAME}` replaced; what is not plain data is kept as it is. */
  readonly value: unknown;
  /** The replaced values by name, so that no message repeats a secret. */
  readonly used: ReadonlyMap<string, string>;
}

const REFERENCE = /\$\{([^}]*)\}?/g;
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
const REFERENCE_EXAMPLE = '$'.concat('{NAME}');
const DEPTH_MAX = 32;

const SECRETS: readonly { readonly pattern: RegExp; readonly what: string }[] = [
  { pattern: /(?<![0-9a-fA-F])0x[0-9a-fA-F]{64}(?![0-9a-fA-F])/, what: 'a private key' },
  { pattern: /\b[sr]k_(live|test)_[A-Za-z0-9]{8,}/, what: 'a secret key' },
  { pattern: /\bsk-[A-Za-z0-9_-]{20,}/, what: 'an API key' },
];

/**
 * Replaces `${NAME}` in string values by environment variables. What was put in stays text and is not
 * searched again, so a variable can add neither keys nor further references. Secrets must come from
 * the environment: text that looks like one and is no variable's value is a problem.
 */
export function substitute(input: unknown, env: Env, problems: ProblemList): Substituted {
  const used = new Map<string, string>();
  const ancestors: object[] = [];

  const text = (raw: string, at: PathSegments): string => {
    const what = literalSecret(raw, env);
    if (what !== null)
      problems.add(
        at,
        `has ${what} in the file`,
        `Put it into an environment variable and write ${REFERENCE_EXAMPLE} here.`,
      );
    return raw.replace(REFERENCE, (reference, name: string) => {
      if (!NAME.test(name) || !reference.endsWith('}')) {
        problems.add(at, `"${reference}" names no variable`, `Write ${REFERENCE_EXAMPLE}.`);
        return reference;
      }
      const value = Object.hasOwn(env, name) ? env[name] : undefined;
      if (value === undefined) {
        problems.add(
          at,
          `the environment variable ${name} is not set`,
          `Set ${name}, in the environment or in the file .env beside the config.`,
        );
        return reference;
      }
      if (value === '') {
        problems.add(
          at,
          `the environment variable ${name} is empty`,
          `Set ${name}, in the environment or in the file .env beside the config.`,
        );
        return reference;
      }
      used.set(name, value);
      return value;
    });
  };

  const walk = (node: unknown, at: PathSegments): unknown => {
    if (typeof node === 'string') return text(node, at);
    if (typeof node !== 'object' || node === null || node instanceof Date) return node;
    if (ancestors.length >= DEPTH_MAX || ancestors.includes(node)) {
      problems.add(at, 'is nested too deeply', 'Remove the inner levels.');
      return null;
    }
    ancestors.push(node);
    const copy = Array.isArray(node)
      ? node.map((item, index) => walk(item, [...at, index]))
      : Object.fromEntries(
          Object.entries(node).map(([key, item]) => [key, walk(item, [...at, key])]),
        );
    ancestors.pop();
    return copy;
  };

  return { value: walk(input, []), used };
}

/** What secret stands in the text itself; one that an environment variable holds came from there. */
function literalSecret(raw: string, env: Env): string | null {
  for (const { pattern, what } of SECRETS) {
    const found = pattern.exec(raw)?.[0];
    if (found !== undefined && !Object.values(env).some((value) => value?.includes(found)))
      return what;
  }
  return null;
}
