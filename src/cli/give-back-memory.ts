import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * Gives the system back what only the start needed: parsed source, the config's schemas, room that V8 made for
 * them. Call it once everything is loaded; it takes some 20 ms.
 */
export async function giveBackMemory(): Promise<void> {
  setFlagsFromString('--expose-gc');
  const gc: NodeJS.GCFunction = runInNewContext('gc');
  setFlagsFromString('--no-expose-gc');
  await gc({ execution: 'async', flavor: 'last-resort' });
}
