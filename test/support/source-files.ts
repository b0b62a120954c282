/** The project's own files, parsed: what the house rules are checked on. */

import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

/** The folder of the checkout. */
export const ROOT: string = fileURLToPath(new URL('../..', import.meta.url));

export interface SourceFile {
  /** Relative to the checkout, with forward slashes. */
  readonly path: string;
  readonly text: string;
  readonly tree: ts.SourceFile;
}

export interface Import {
  /** `./x.ts`, `node:fs` or `zod/v4`, as written. */
  readonly specifier: string;
  /** The imported file relative to the checkout, for relative imports. */
  readonly file: string | undefined;
  /** An `import()` that runs when its function does, if ever. */
  readonly lazy: boolean;
  /** Erased when the source runs: `import type`, or nothing but `type` names. */
  readonly typeOnly: boolean;
}

/** The specifier of an `import()` whose name is computed: a file of the operator's, unknown to the source. */
export const COMPUTED = '(computed)';

/** Files that match the patterns, sorted by path; node_modules and dist are left out. */
export function findFiles(patterns: readonly string[]): string[] {
  return globSync(patterns, {
    cwd: ROOT,
    exclude: (name) => name === 'node_modules' || name === 'dist',
  })
    .map((path) => path.split(sep).join('/'))
    .sort();
}

export function readSourceFiles(patterns: readonly string[]): SourceFile[] {
  return findFiles(patterns).map((path) => {
    const text = readFileSync(join(ROOT, path), 'utf8');
    return { path, text, tree: parse(path, text) };
  });
}

/** A source file from a text, for tests of the rules themselves. */
export function sourceFileOf(path: string, text: string): SourceFile {
  return { path, text, tree: parse(path, text) };
}

/** Every import of a file: declarations, re-exports, `import()` calls and `import('…')` types. */
export function importsOf(file: SourceFile): Import[] {
  const imports: Import[] = [];
  const add = (specifier: ts.Node | undefined, lazy: boolean, typeOnly: boolean): void => {
    if (specifier === undefined) return;
    const name = ts.isStringLiteralLike(specifier) ? specifier.text : COMPUTED;
    imports.push({ specifier: name, file: resolve(file.path, name), lazy, typeOnly });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) add(node.moduleSpecifier, false, isTypeImport(node));
    else if (ts.isExportDeclaration(node)) add(node.moduleSpecifier, false, isTypeExport(node));
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      add(node.arguments[0], true, false);
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument))
      add(node.argument.literal, false, true);
    ts.forEachChild(node, visit);
  };
  visit(file.tree);
  return imports;
}

/** Calls `visit` for every node of the file. */
export function walk(file: SourceFile, visit: (node: ts.Node) => void): void {
  const down = (node: ts.Node): void => {
    visit(node);
    ts.forEachChild(node, down);
  };
  down(file.tree);
}

/** The line of a position, from 1. */
export function lineAt(file: SourceFile, position: number): number {
  return file.tree.getLineAndCharacterOfPosition(position).line + 1;
}

function parse(path: string, text: string): ts.SourceFile {
  return ts.createSourceFile(path, text, ts.ScriptTarget.ESNext, true);
}

function resolve(from: string, specifier: string): string | undefined {
  if (!specifier.startsWith('.')) return undefined;
  return relative(ROOT, join(ROOT, dirname(from), specifier))
    .split(sep)
    .join('/');
}

function isTypeImport({ importClause }: ts.ImportDeclaration): boolean {
  if (importClause === undefined) return false;
  if (importClause.phaseModifier === ts.SyntaxKind.TypeKeyword) return true;
  const { name, namedBindings } = importClause;
  if (name !== undefined || namedBindings === undefined) return false;
  return ts.isNamedImports(namedBindings) && allTypes(namedBindings.elements);
}

function isTypeExport({ isTypeOnly, exportClause }: ts.ExportDeclaration): boolean {
  if (isTypeOnly) return true;
  return (
    exportClause !== undefined && ts.isNamedExports(exportClause) && allTypes(exportClause.elements)
  );
}

/** With `verbatimModuleSyntax` an empty list still runs the module. */
function allTypes(names: readonly { readonly isTypeOnly: boolean }[]): boolean {
  return names.length > 0 && names.every((name) => name.isTypeOnly);
}
