import { CommanderError } from 'commander';
import { ConfigError } from '../config.ts';
import { CommandFailed } from './command-failed.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';

/** Prints a result: one line of JSON, or text for people. */
export function report(json: boolean, value: object, text: () => string): void {
  process.stdout.write(`${json ? JSON.stringify(value) : text()}\n`);
}

/** Prints why a command failed, on stderr for people and with `json` on stdout as well; answers the exit code. */
export function reportFailure(error: unknown, json: boolean): ExitCode {
  // commander has printed its own words already.
  if (error instanceof CommanderError && error.exitCode === 0) return EXIT.ok;
  const failure = describe(error);
  if (!(error instanceof CommanderError)) process.stderr.write(`${failure.text}\n`);
  if (json) {
    const { code, message, hint, problems } = failure;
    process.stdout.write(`${JSON.stringify({ error: { code, message, hint, problems } })}\n`);
  }
  return failure.exitCode;
}

interface Failure {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  readonly problems?: ConfigError['problems'];
  readonly text: string;
  readonly exitCode: ExitCode;
}

function describe(error: unknown): Failure {
  if (error instanceof ConfigError) {
    const { code, problems, message: text } = error;
    const message = `${error.file ?? 'the config'} has ${problems.length === 1 ? 'a problem' : `${problems.length} problems`}`;
    const hint = 'Correct each problem, then try again.';
    return { code, message, hint, problems, text, exitCode: EXIT.usage };
  }
  const { code, message, hint } = wordsOf(error);
  const exitCode = exitCodeOf(error, code);
  // A bug is looked for by its stack; everything else is said in one line.
  const shown = hint === REPORT_HINT && error instanceof Error ? (error.stack ?? message) : message;
  return { code, message, hint, text: `coinslot: ${shown}\n  ${hint}`, exitCode };
}

/** Failures of other folders that mean: correct the config. */
const CONFIG_CODES: ReadonlySet<string> = new Set(['mode_mismatch', 'database_url_malformed']);

function exitCodeOf(error: unknown, code: string): ExitCode {
  if (error instanceof CommandFailed) return error.exitCode;
  return error instanceof CommanderError || CONFIG_CODES.has(code) ? EXIT.usage : EXIT.failed;
}

interface Words {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

/** Our errors carry a code and a hint; anything else is the machine's trouble or a bug. */
function wordsOf(error: unknown): Words {
  if (!(error instanceof Error))
    return { code: 'unexpected', message: String(error), hint: REPORT_HINT };
  const { message } = error;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : 'unexpected';
  if ('hint' in error && typeof error.hint === 'string') return { code, message, hint: error.hint };
  if (error instanceof CommanderError)
    return { code, message: message.replace(/^error: /, ''), hint: 'See coinslot --help.' };
  if (code === 'EADDRINUSE' || code === 'EADDRNOTAVAIL' || code === 'EACCES')
    return { code, message, hint: 'Choose another address under listen, or free this one.' };
  const missing = /Cannot find package '([^']+)'/.exec(message)?.[1];
  if (code === 'ERR_MODULE_NOT_FOUND' && missing !== undefined)
    return { code, message: `${missing} is not installed`, hint: `npm install ${missing}` };
  return { code, message, hint: REPORT_HINT };
}

const REPORT_HINT = 'This should not happen: please report it, with the lines above.';

/** Columns of text under their names. */
export function table(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = columns.map((name, i) =>
    Math.max(name.length, ...rows.map((row) => row[i]?.length ?? 0)),
  );
  return [columns, ...rows]
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
