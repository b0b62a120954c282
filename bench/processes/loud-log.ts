import type { Log } from '../../src/core/log.ts';

/** Whatever goes wrong in a process of the benchmark is seen on its stderr. */
export const loudLog: Log = {
  info() {},
  warn: (fields, message) => tell('warn', fields, message),
  error: (fields, message) => tell('error', fields, message),
};

function tell(level: string, fields: object, message: string): void {
  const text = JSON.stringify(fields, (_key, value: unknown) =>
    value instanceof Error
      ? (value.stack ?? value.message)
      : typeof value === 'bigint'
        ? String(value)
        : value,
  );
  process.stderr.write(`${level}: ${message} ${text}\n`);
}
