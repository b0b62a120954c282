import { EXIT, type ExitCode } from './exit-codes.ts';

/** A command that cannot go on: one line, a hint on what to do next, and the exit code. */
export class CommandFailed extends Error {
  override readonly name = 'CommandFailed';
  readonly code: string;
  readonly hint: string;
  readonly exitCode: ExitCode;
  constructor(code: string, message: string, hint: string, exitCode: ExitCode = EXIT.failed) {
    super(message);
    this.code = code;
    this.hint = hint;
    this.exitCode = exitCode;
  }
}
