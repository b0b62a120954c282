import pino, { type Logger } from 'pino';
import type { Config } from '../config.ts';

const SECRET_FIELDS = ['authorization', 'x-api-key', 'x-payment', 'payment-signature', 'cookie'];
const SECRET_KEYS = ['key', 'secret', 'settleWith', 'refundWith', 'privateKey', 'payload', 'raw'];
const HIDDEN = '[secret]';

/**
 * Writes JSON lines, to stderr unless told otherwise. Fields that carry secrets are hidden by name, and the config's own secrets
 * by value wherever they stand, because messages of libraries quote URLs and headers.
 */
export function createLog(
  config: Config,
  level: string,
  // Written at once: a line that explains why the process ended must not be lost in a buffer.
  destination: pino.DestinationStream = pino.destination({ fd: 2, sync: true }),
): Logger {
  const secrets = secretsOf(config);
  const log = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: pino.stdSerializers.err },
      redact: {
        paths: [
          ...SECRET_KEYS.flatMap((key) => [key, `*.${key}`]),
          ...SECRET_FIELDS.flatMap((name) => [`headers["${name}"]`, `*.headers["${name}"]`]),
        ],
        censor: HIDDEN,
      },
      hooks: {
        streamWrite: (line) =>
          secrets.reduce((text, secret) => text.replaceAll(secret, HIDDEN), line),
      },
    },
    destination,
  );
  hidden.set(log, secrets);
  return log;
}

/** What each log hides. */
const hidden = new WeakMap<Logger, string[]>();

/** Hides the secrets of another config as well, from now on; those of earlier ones stay hidden. */
export function hideSecretsOf(log: Logger, config: Config): void {
  const secrets = hidden.get(log);
  secrets?.push(...secretsOf(config).filter((secret) => !secrets.includes(secret)));
  secrets?.sort((a, b) => b.length - a.length);
}

/** Every value of the config that must not be seen, as it would stand inside a JSON string. */
function secretsOf(config: Config): string[] {
  const found: string[] = [];
  const add = (value: string | null | undefined): void => {
    if (value !== null && value !== undefined && value.length >= 8)
      found.push(JSON.stringify(value).slice(1, -1));
  };
  add(config.secret);
  add(config.refundWith);
  for (const { headers } of Object.values(config.upstreams))
    for (const value of Object.values(headers)) {
      add(value);
      // `Bearer sk-…`: the part after the scheme is the secret, however it is quoted.
      add(/^\S+ (\S+)$/.exec(value)?.[1]);
    }
  for (const network of Object.values(config.payments.x402?.networks ?? {})) collect(network, add);
  return found.sort((a, b) => b.length - a.length);
}

/** Settlement keys, and the long parts of a URL: a provider's key is one of them. */
function collect(node: unknown, add: (value: string) => void): void {
  if (typeof node === 'string') {
    if (/^0x[0-9a-fA-F]{64}$/.test(node)) add(node);
    else if (URL.canParse(node)) {
      const { pathname, searchParams } = new URL(node);
      for (const part of [...pathname.split('/'), ...searchParams.values()])
        if (part.length >= 16) add(part);
    }
  } else if (typeof node === 'object' && node !== null)
    for (const value of Object.values(node)) collect(value, add);
}
