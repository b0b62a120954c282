/** The house rules that a parser can check; each answers one line per offence, with what to do instead. */

import ts from 'typescript';
import { lineAt, type SourceFile, walk } from './source-files.ts';

export const FILE_LINES_MAX = 300;
/** A test file is a list: it may be longer. */
export const TEST_LINES_MAX = 500;
export const FUNCTION_LINES_MAX = 70;

export function tooLongFile({ path, text }: SourceFile): string[] {
  const lines = text.split('\n').length - 1;
  const max = path.endsWith('.test.ts') ? TEST_LINES_MAX : FILE_LINES_MAX;
  return lines > max ? [`${path} has ${lines} lines: split it, ${max} are the limit`] : [];
}

export function tooLongFunctions(file: SourceFile): string[] {
  const found: string[] = [];
  walk(file, (node) => {
    if (!ts.isFunctionLike(node)) return;
    const start = node.getStart(file.tree);
    const lines = lineAt(file, node.getEnd()) - lineAt(file, start) + 1;
    if (lines > FUNCTION_LINES_MAX)
      found.push(
        `${file.path}:${lineAt(file, start)} a function of ${lines} lines: split it, ${FUNCTION_LINES_MAX} are the limit`,
      );
  });
  return found;
}

const VAGUE = /^(utils?|helpers?|common|managers?|misc|lib|shared)$/i;

/** A name for everything is a name for nothing. */
export function vagueName(path: string): string[] {
  return path.split(/[/.-]/).some((part) => VAGUE.test(part))
    ? [`${path}: name the file for what it does or is`]
    : [];
}

interface Word {
  readonly say: string;
  readonly never: RegExp;
  /** Where the word has a meaning of its own. */
  readonly except?: RegExp;
}

/** The words of the project: one word, one meaning. */
const WORDS: readonly Word[] = [
  { never: /^endpoints?$/, say: 'route' },
  { never: /^estimates?$/, say: 'quote', except: /^src\/(chains|rails)\// },
  // Who serves a model is called so by everybody.
  { never: /^providers?$/, say: 'rail, upstream or chain', except: /^src\/upstreams\// },
  { never: /^(customer|buyer|user)s?$/, say: 'payer' },
  { never: /^(admin|owner|merchant|seller)s?$/, say: 'operator', except: /^src\/devnet\// },
  { never: /^deposits?$/, say: 'top up' },
  { never: /^(reserve|reservation)s?$/, say: 'hold', except: /^src\/client\// },
  { never: /^voids?$/, say: 'release' },
  { never: /^estimations?$/, say: 'quote' },
  {
    never: /^(charge|session|channel)s?$/,
    say: 'payment, or keep it inside the rail that defines it',
    except: /^src\/rails\/[^/]+\//,
  },
  {
    never: /^transactions?$/,
    say: 'payment or entries',
    except: /^src\/(rails\/[^/]+|chains|storage|ledger)\//,
  },
];

/** Exported names that use a word which means something else here. */
export function wrongWords(file: SourceFile): string[] {
  const found: string[] = [];
  for (const name of exportedNames(file))
    for (const part of wordsOf(name))
      for (const { never, say, except } of WORDS)
        if (never.test(part) && !except?.test(file.path))
          found.push(`${file.path}: ${name} says "${part}": say ${say}`);
  return found;
}

/** `any` and the comments that switch the type checker off. */
export function uncheckedTypes(file: SourceFile): string[] {
  const found: string[] = [];
  walk(file, (node) => {
    if (node.kind === ts.SyntaxKind.AnyKeyword)
      found.push(`${file.path}:${lineAt(file, node.getStart(file.tree))} any: say what it is`);
  });
  // A test may expect an error of the type checker: that is how types are tested.
  const off = file.path.endsWith('.test.ts')
    ? /@ts-(ignore|nocheck)/
    : /@ts-(ignore|nocheck|expect-error)/;
  for (const [line, text] of file.text.split('\n').entries())
    if (off.test(text))
      found.push(`${file.path}:${line + 1} a switched-off type check: mend the type`);
  return found;
}

interface Leftover {
  readonly pattern: RegExp;
  readonly why: string;
}

/** Spelled in parts, so that this file does not find itself. */
const LEFTOVERS: readonly Leftover[] = [
  {
    pattern: new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX'].join('|')})\\b`),
    why: 'do it now, or write down what the code does',
  },
  {
    pattern: new RegExp(
      `(^|[\\s"'\`(=])/(${['work', 'root', 'home/[a-z]+', 'Users/[A-Za-z]+'].join('|')})/`,
    ),
    why: 'a path of one machine',
  },
  {
    pattern: new RegExp(
      ['registry\\.npm' + 'js', 'registry\\.yarn' + 'pkg', 'npm' + '\\.pkg\\.github'].join('|'),
    ),
    why: 'a host of a package registry',
  },
];

/** Marks of unfinished work, and traces of the machine it was done on. */
export function leftovers(path: string, text: string): string[] {
  return text
    .split('\n')
    .flatMap((line, index) =>
      LEFTOVERS.filter(({ pattern }) => pattern.test(line)).map(
        ({ why }) => `${path}:${index + 1} ${line.trim().slice(0, 60)}: ${why}`,
      ),
    );
}

function exportedNames({ tree }: SourceFile): string[] {
  const names: string[] = [];
  for (const statement of tree.statements) {
    if (ts.isExportDeclaration(statement)) {
      if (statement.exportClause && ts.isNamedExports(statement.exportClause))
        for (const { name } of statement.exportClause.elements) names.push(name.text);
      continue;
    }
    if (!ts.canHaveModifiers(statement)) continue;
    const modifiers = ts.getModifiers(statement) ?? [];
    if (!modifiers.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword)) continue;
    const declared = ts.isVariableStatement(statement)
      ? statement.declarationList.declarations
      : [statement as ts.DeclarationStatement];
    for (const { name } of declared) if (name && ts.isIdentifier(name)) names.push(name.text);
  }
  return names;
}

/** `FREE_calls`, `callsPerDay`, `HTTPError`: the words in lower case. */
function wordsOf(name: string): string[] {
  return name
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .replace(/([A-Z])([A-Z][a-z])/g, '$1 $2')
    .split(/[ _$]+/)
    .map((word) => word.toLowerCase());
}
