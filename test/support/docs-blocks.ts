/** The fenced code blocks of a Markdown text: language, attributes and code. */

export interface DocsBlock {
  readonly language: string;
  /** What stands behind the language: `background until="ready"` is `{ background: '', until: 'ready' }`. */
  readonly attributes: Readonly<Record<string, string>>;
  readonly code: string;
  /** Line of the opening fence, from 1. */
  readonly line: number;
}

/** A document does not do what it says. */
export class DocsError extends Error {
  override readonly name = 'DocsError';
}

export function docsError(line: number, message: string): DocsError {
  return new DocsError(`line ${line}: ${message}`);
}

const FENCE = /^(\s*)(`{3,}|~{3,})(.*)$/;

/** Reads every block; throws DocsError for one without an end or a language, and for code that is only indented. */
export function parseBlocks(text: string): DocsBlock[] {
  const blocks: DocsBlock[] = [];
  const lines = text.split('\n');
  let inList = false;
  for (let index = 0; index < lines.length; index++) {
    const line = lines[index] ?? '';
    const fence = FENCE.exec(line);
    if (fence === null) {
      if (/^\S/.test(line)) inList = /^([-*+]|\d+[.)])\s/.test(line);
      const indented = /^( {4}|\t)\S/.test(line) && (lines[index - 1] ?? '').trim() === '';
      if (indented && !inList) throw docsError(index + 1, 'indented code: put it into a fence');
      continue;
    }
    const [, indent = '', mark = '', info = ''] = fence;
    const end = lines.findIndex(
      (other, at) => at > index && other.trim().startsWith(mark) && other.trim() === mark,
    );
    if (end < 0) throw docsError(index + 1, 'a fence without an end');
    const code = lines.slice(index + 1, end).map((one) => one.replace(indent, ''));
    blocks.push({ ...parseInfo(info, index + 1), code: `${code.join('\n')}\n`, line: index + 1 });
    index = end;
  }
  return blocks;
}

function parseInfo(info: string, line: number): Pick<DocsBlock, 'language' | 'attributes'> {
  const [language = ''] = info.trim().split(/\s/, 1);
  if (language === '') throw docsError(line, 'a fence without a language');
  const rest = info.trim().slice(language.length);
  const attributes: Record<string, string> = {};
  const unread = rest.replace(/\s+([a-z]+)(?:="([^"]*)")?(?=\s|$)/g, (_, name, value = '') => {
    attributes[name] = value;
    return '';
  });
  if (unread.trim() !== '') throw docsError(line, `cannot read ${unread.trim()}`);
  return { language, attributes };
}
