/**
 * Run as a process by the durability test: holds and captures without end, and says so only after each answer.
 * A line ends in a full stop, so that one cut by the kill is not taken for a whole one.
 */

import { randomBytes } from 'node:crypto';
import { newId } from '../../src/core/id.ts';
import { openLedger } from '../../src/ledger/open-ledger.ts';
import { captureOf, prepaidHold } from './fixture.ts';

const [url, owner] = process.argv.slice(2) as [string, string];
const ledger = await openLedger({
  url,
  clock: { now: () => Date.now() },
  exclusive: true,
  onFatal: (error) => Promise.reject(error),
});
await ledger.heartbeat(owner, Date.now() + 60_000);
process.stdout.write('open\n');

async function pay(): Promise<void> {
  const id = newId('pay', randomBytes);
  const held = await ledger.holdPrepaid(prepaidHold('key_1', 10n, { id, owner }));
  if (held.outcome !== 'held') throw new Error(held.outcome);
  process.stdout.write(`held ${id} .\n`);
  const amount = BigInt(randomBytes(1)[0] as number) % 11n;
  const captured = await ledger.capture(captureOf(id, amount, { owner }));
  if (captured.outcome !== 'done') throw new Error(captured.outcome);
  process.stdout.write(`captured ${id} ${amount} .\n`);
}

await Promise.all(
  Array.from({ length: 16 }, async () => {
    for (;;) await pay();
  }),
);
