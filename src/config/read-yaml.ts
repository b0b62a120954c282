import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import { ConfigError, type PathSegments } from './problems.ts';

export interface YamlFile {
  readonly value: unknown;
  /** Line of the key at a path, from 1; of the nearest section above it when the key is missing. */
  lineOf(at: PathSegments): number | undefined;
}

/** Aliases may repeat a section, but not blow up a small file into a large one. */
const ALIASES_MAX = 100;

/** Reads YAML 1.2; throws ConfigError with each syntax error and each key that is written twice. */
export function readYaml(text: string, file: string): YamlFile {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    uniqueKeys: true,
    prettyErrors: false,
    schema: 'core',
    logLevel: 'silent',
  });
  const faults = [...document.errors, ...document.warnings];
  if (faults.length > 0)
    throw new ConfigError(
      faults.map((fault) => ({
        path: '',
        message:
          fault.code === 'DUPLICATE_KEY' ? 'a key is written twice' : firstLine(fault.message),
        hint: fault.code === 'DUPLICATE_KEY' ? 'Remove one of the two.' : 'Correct the YAML.',
        line: lines.linePos(fault.pos[0]).line,
      })),
      file,
    );
  const toLine = (offset: number | undefined): number | undefined =>
    offset === undefined ? undefined : lines.linePos(offset).line;

  return {
    value: toValue(() => document.toJS({ maxAliasCount: ALIASES_MAX }), file),
    lineOf(at) {
      let node: unknown = document.contents;
      let line = toLine(rangeStart(node));
      for (const part of at) {
        if (isAlias(node)) node = node.resolve(document);
        if (isMap(node)) {
          const pair = node.items.find(
            ({ key }) => String(isScalar(key) ? key.value : key) === String(part),
          );
          if (!pair) return line;
          line = toLine(rangeStart(pair.key)) ?? line;
          node = pair.value;
        } else if (isSeq(node)) {
          const item: unknown = node.items[Number(part)];
          line = toLine(rangeStart(item)) ?? line;
          node = item;
        } else return line;
      }
      return line;
    },
  };
}

function toValue(read: () => unknown, file: string): unknown {
  try {
    return read();
  } catch (error) {
    // Too many aliases, or one that names nothing.
    const message = error instanceof Error ? firstLine(error.message) : 'cannot be read';
    throw new ConfigError([{ path: '', message, hint: 'Write the values out.' }], file);
  }
}

function rangeStart(node: unknown): number | undefined {
  return (node as Node | null | undefined)?.range?.[0];
}

function firstLine(text: string): string {
  return (text.split('\n', 1)[0] ?? '').replace(/[.:]$/, '');
}
