/** What a command's exit code says; scripts rely on it. */
export const EXIT = {
  /** It did what was asked. */
  ok: 0,
  /** It could not, or it found a problem: an audit that differs, a payment that does not exist, a database in use. */
  failed: 1,
  /** The command line or the config is wrong; nothing was done. */
  usage: 2,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** The table of exit codes for `--help`. */
export const EXIT_CODES_HELP = `
Exit codes:
  0  done
  1  failed, or a problem was found
  2  the command line or the config is wrong`;
