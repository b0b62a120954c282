/** The thread that owns the SQLite connection: takes batches, answers them, and never blocks the event loop. */

import { parentPort, workerData } from 'node:worker_threads';
import { connect } from '../storage/connect.ts';
import type { Database } from '../storage/transaction.ts';
import { failureOf } from './errors.ts';
import type { FromWorker, ToWorker, WorkerSettings } from './ledger-thread.ts';
import { batchesOn } from './run-batch.ts';
import { decodeCalls, encodeOutcomes } from './wire.ts';

if (parentPort === null) throw new Error('This file runs only as a worker thread');
const port = parentPort;
const settings = workerData as WorkerSettings;

const answer = (message: FromWorker): void => port.postMessage(message);

async function open(): Promise<Database> {
  const database = connect(settings);
  try {
    await database.migrate();
    // Whoever held a lease on this file before us is dead: we hold the lock.
    if (settings.exclusive) await database.transact('write', (tx) => tx.run('DELETE FROM lease'));
    return database;
  } catch (error) {
    await database.close();
    throw error;
  }
}

async function main(): Promise<void> {
  let database: Database;
  try {
    database = await open();
  } catch (error) {
    answer(failureOf(error));
    port.close();
    return;
  }
  const runBatch = batchesOn(database);
  port.on('message', async (message: ToWorker) => {
    if (message === 'close') {
      await database.close();
      port.close();
      return;
    }
    const calls = decodeCalls(message);
    answer(encodeOutcomes(calls, await runBatch(calls)));
  });
  answer('opened');
}

await main();
