import { type StatsListener, unwatchFile, watchFile } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { type Config, ConfigError } from '../config.ts';
import type { Log } from '../core/log.ts';
import { type CommonOptions, configFileOf } from './options.ts';

export interface ReloadRequests {
  /** From now on each request is answered by `reload`, one after another; one that came earlier at once. */
  answer(reload: () => Promise<Config>, log: Log): void;
  stop(): void;
}

/** Looked at this often: a change is seen on every file system, also where the file is a link that moves. */
const LOOK_EVERY_MS = 500;

/** Listens for SIGHUP and, with `watch`, for changes of the config file and of `.env` beside it. */
export function reloadRequests(
  options: CommonOptions & { readonly watch?: boolean },
): ReloadRequests {
  let isWanted = false;
  let isReloading = false;
  let answered: (() => Promise<void>) | null = null;
  const ask = (): void => {
    isWanted = true;
    if (answered === null || isReloading) return;
    isReloading = true;
    void answerAll(answered).finally(() => {
      isReloading = false;
    });
  };
  /** Several requests that come while one is answered are one. */
  const answerAll = async (reload: () => Promise<void>): Promise<void> => {
    while (isWanted) {
      isWanted = false;
      await reload();
    }
  };
  const unwatch = options.watch === true ? watchFiles(options, ask) : () => {};
  process.on('SIGHUP', ask);
  return {
    answer(reload, log) {
      answered = () => reloadOnce(reload, log);
      if (isWanted) ask();
    },
    stop() {
      unwatch();
      process.removeListener('SIGHUP', ask);
      answered = null;
      // A terminal that closes while the gateway stops must not end it half-way.
      process.on('SIGHUP', () => {});
    },
  };
}

/** Never throws: a config that can't be used leaves the one that runs. */
async function reloadOnce(reload: () => Promise<Config>, log: Log): Promise<void> {
  try {
    const { routes } = await reload();
    log.info({ routes: routes.length }, 'the config was reloaded');
  } catch (error) {
    const why = error instanceof ConfigError ? { problems: error.problems } : { error };
    log.error(why, 'the config was not reloaded; the gateway goes on with the one it has');
  }
}

function watchFiles(options: CommonOptions, changed: () => void): () => void {
  const config = resolve(configFileOf(options));
  const files = [config, join(dirname(config), '.env')];
  const look: StatsListener = (now, before) => {
    if (now.mtimeMs !== before.mtimeMs || now.size !== before.size || now.ino !== before.ino)
      changed();
  };
  for (const file of files) watchFile(file, { interval: LOOK_EVERY_MS, persistent: false }, look);
  return () => {
    for (const file of files) unwatchFile(file, look);
  };
}
