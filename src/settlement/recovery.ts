/**
 * Finishes what a request could not: renews our lease, takes over payments whose process died, gives
 * back holds, and asks again about money whose fate is open. Everything ends, and has one owner.
 */

import type { Clock } from '../core/clock.ts';
import type { Log } from '../core/log.ts';
import type { Payment } from '../core/payment.ts';
import type { Ledger } from '../core/ports/ledger.ts';
import type { Rail } from '../core/ports/rail.ts';
import { endOverdue, expireClaims, giveBack } from './end-unended.ts';

export interface RecoveryOptions {
  readonly ledger: Ledger;
  readonly rails: readonly Rail[];
  readonly owner: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Payments of this process whose end could not be written, and how to write it. */
  readonly orphans: Map<string, (payment: Payment) => Promise<unknown>>;
  /** A process that does not renew its lease for this long is dead. */
  readonly leaseMs: number;
  /** Pause between two rounds. */
  readonly everyMs: number;
  /** Answers are kept for replay this long; may change. */
  readonly replayTtlMs: number;
}

export interface Recovery {
  /** One whole round; also what the timer runs. */
  round(): Promise<void>;
  start(): void;
  /** Waits for the round that is running. */
  stop(): Promise<void>;
}

/** How often old answers are deleted, and payments that should have ended are looked for. */
const SWEEP_MS = 60_000;
const RESOLVED_AT_ONCE = 100;

export function createRecovery(options: RecoveryOptions): Recovery {
  const { ledger, clock, log, owner } = options;
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> = Promise.resolve();
  let stopped = false;
  let sweptMs = clock.now();

  const round = async (): Promise<void> => {
    const nowMs = clock.now();
    // What we took over is ours until it is ended, however often that takes.
    for (const { id } of await ledger.takeLapsed(owner, nowMs))
      options.orphans.set(id, (payment) => giveBack(options, payment));
    for (const orphans of [options.orphans, ...options.rails.map((rail) => rail.orphans)])
      for (const [id, end] of [...(orphans ?? [])]) await endOrphan(options, orphans, id, end);
    const shown = await ledger.shownJobs();
    await expireClaims(options, shown, nowMs);
    const jobs = [...(await ledger.openJobs()), ...shown];
    // Side by side: a chain that hangs must not keep the money of another one waiting.
    await Promise.all([
      resolveAll(
        options,
        jobs.map((job) => job.paymentId),
      ),
      ...options.rails.map((rail) => rail.recheck?.()),
    ]);
    if (nowMs - sweptMs < SWEEP_MS) return;
    sweptMs = nowMs;
    await ledger.forgetAnswers(nowMs - options.replayTtlMs);
    await endOverdue(options, nowMs);
  };
  // On a timer of its own: a slow chain must not make us look dead.
  let beating: Promise<void> = Promise.resolve();
  const beat = (): void => {
    beating = ledger
      .heartbeat(owner, clock.now() + options.leaseMs)
      .catch((error: unknown) => log.error({ error }, 'the lease could not be renewed'));
  };
  let heart: NodeJS.Timeout | undefined;
  const turn = (): void => {
    running = round()
      .catch((error: unknown) =>
        log.error({ error }, 'a recovery round failed; the next one tries again'),
      )
      .finally(() => {
        if (!stopped) timer = setTimeout(turn, options.everyMs);
      });
  };
  return {
    round,
    start() {
      heart = setInterval(beat, options.leaseMs / 3);
      turn();
    },
    async stop() {
      stopped = true;
      clearInterval(heart);
      clearTimeout(timer);
      await Promise.all([running, beating]);
      clearTimeout(timer);
    },
  };
}

/** One that can't be ended yet does not stop the others. */
async function endOrphan(
  { ledger, owner, log }: RecoveryOptions,
  orphans: RecoveryOptions['orphans'] | undefined,
  id: string,
  end: (payment: Payment) => Promise<unknown>,
): Promise<void> {
  try {
    const payment = await ledger.findPayment(id);
    if (payment?.owner === owner) await end(payment);
    orphans?.delete(id);
  } catch (error) {
    log.warn({ payment: id, error }, 'a payment could not be ended yet');
  }
}

/** Side by side, oldest first: a chain transaction may be waiting for the nonce of a later job here. */
async function resolveAll(options: RecoveryOptions, ids: readonly string[]): Promise<void> {
  for (let at = 0; at < ids.length; at += RESOLVED_AT_ONCE)
    await Promise.all(ids.slice(at, at + RESOLVED_AT_ONCE).map((id) => resolveJob(options, id)));
}

async function resolveJob(options: RecoveryOptions, id: string): Promise<void> {
  const payment = await options.ledger.findPayment(id);
  const rail = options.rails.find((one) => one.name === payment?.rail);
  if (!payment || !rail) return;
  try {
    const resolved = await rail.resolve(payment);
    if (resolved.state !== payment.state)
      options.log.info({ payment: id, state: resolved.state }, 'an open settlement was resolved');
  } catch (error) {
    options.log.warn({ payment: id, error }, 'a settlement is still unknown');
  }
}
