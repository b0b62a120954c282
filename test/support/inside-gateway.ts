/**
 * Preloaded into a gateway process of a test: takes orders over the process's channel that nothing outside of
 * it could carry out, such as ending the ledger's thread or breaking the database's connection.
 */

import { createRequire, syncBuiltinESMExports } from 'node:module';
import process from 'node:process';
import { BroadcastChannel, isMainThread, type Worker } from 'node:worker_threads';

/** What a test orders; each order is answered with itself once it is carried out. */
export type Order =
  | { readonly order: 'kill-ledger-thread' }
  /** Runs on the very connection that the ledger writes with. */
  | { readonly order: 'pragma'; readonly sql: string };

const channel = new BroadcastChannel('coinslot-test-orders');

if (isMainThread) takeOrders();
else obeyInThread();

function takeOrders(): void {
  const threads: Worker[] = [];
  process.on('worker', (worker) => threads.push(worker));
  process.on('message', async (order: Order) => {
    if (order.order === 'pragma') return channel.postMessage(order);
    process.send?.(order);
    for (const thread of threads) await thread.terminate();
  });
  channel.onmessage = ({ data }: { data: { readonly done?: Order } }) => {
    if (data.done) process.send?.(data.done);
  };
  // The test is gone, however it ended: nobody else would end this process.
  process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
  channel.unref();
  process.channel?.unref();
}

function obeyInThread(): void {
  const sqlite = createRequire(import.meta.url)('node:sqlite') as typeof import('node:sqlite');
  const open: InstanceType<typeof sqlite.DatabaseSync>[] = [];
  class Watched extends sqlite.DatabaseSync {
    constructor(...settings: ConstructorParameters<typeof sqlite.DatabaseSync>) {
      super(...settings);
      open.push(this);
    }
  }
  Reflect.set(sqlite, 'DatabaseSync', Watched);
  syncBuiltinESMExports();
  channel.onmessage = ({ data }: { data: Order }) => {
    if (data.order !== 'pragma') return;
    for (const database of open) database.exec(data.sql);
    channel.postMessage({ done: data });
  };
  channel.unref();
}
