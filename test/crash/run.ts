/**
 * Kills a gateway again and again, at random moments under a mixed load, and checks that nothing is lost, charged
 * twice or charged for nothing. Run it with `npm run test:crash -- --rounds 200`; a seed repeats the choices, not
 * the scheduling of the machine. Exit code 1 names the seed.
 */

import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { FINAL_STATES } from '../../src/core/payment.ts';
import { type GatewayProcess, spawnGateway } from '../support/spawn-gateway.ts';
import { until } from '../support/until.ts';
import { type Call, FAILING, Payers, send } from './calls.ts';
import { createDice, type Dice } from './dice.ts';
import { isAllBooked, judge, VIOLATIONS, type Violation } from './verdict.ts';
import { openWorld, type World } from './world.ts';

/** How a gateway ends in a round. */
type End =
  | 'kill'
  | 'kill while starting'
  | 'kill while the chain hangs'
  | 'ledger thread'
  | 'SIGTERM';

const ENDS: readonly End[] = [
  ...Array<End>(15).fill('kill'),
  ...(['kill while starting', 'kill while the chain hangs', 'ledger thread', 'SIGTERM'] as const),
];
const PAYERS_COUNT = 10;
const LOAD_MS_MAX = 600;
/** After this many rounds everything may come to its end, and is judged. */
const JUDGE_EVERY = 20;
const CALM_MS = 60_000;
/** Running requests end within this time, so a gateway that is asked to stop has no reason to be there. */
const STOP_MS = 8_000;
/** Violations of one kind that are shown in full. */
const DETAILS_MAX = 3;
/** Requests whose client hung up and never came back are not sent again by all. */
const COMES_BACK = 0.5;

class Run {
  readonly #world: World;
  readonly #dice: Dice;
  readonly #payers: Payers;
  readonly #counts = new Map<string, number>();
  #open: Call[] = [];
  #unjudged: Call[] = [];
  #ends: (() => Promise<void>)[] = [];

  constructor(world: World, dice: Dice) {
    this.#world = world;
    this.#dice = dice;
    this.#payers = new Payers(world, dice);
  }

  count(what: string, by = 1): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + by);
  }

  /** Starts a gateway, lets payers loose on it, and ends it in the middle of that. */
  async round(): Promise<void> {
    const end = this.#dice.pick(ENDS);
    this.count(`end: ${end}`);
    if (end === 'kill while starting') return await this.#killWhileStarting();
    const gateway = await this.#start();
    let isOver = false;
    const load = this.#load(() => isOver);
    await pause(this.#dice.between(10, LOAD_MS_MAX));
    if (end === 'kill while the chain hangs') {
      this.#world.chain.freeze();
      await pause(this.#dice.between(10, LOAD_MS_MAX));
    }
    isOver = true;
    await this.#end(gateway, end);
    this.#world.chain.thaw();
    await load;
  }

  async #killWhileStarting(): Promise<void> {
    const starting = this.#start().catch(() => null);
    await pause(this.#dice.between(1, 600));
    for (const end of this.#ends.splice(0)) await end();
    const started = await starting;
    this.count(started === null ? 'killed before it listened' : 'killed just as it listened');
  }

  async #end(gateway: GatewayProcess, end: End): Promise<void> {
    if (end === 'ledger thread') {
      await gateway.order({ order: 'kill-ledger-thread' });
      this.count(`exit code without a ledger thread: ${await gateway.ended}`);
    } else if (end === 'SIGTERM') {
      const ended = gateway.end('SIGTERM').then(() => true);
      if (await Promise.race([ended, pause(STOP_MS, false)])) return;
      this.count(`still there ${STOP_MS} ms after SIGTERM, then killed`);
      await gateway.end();
    } else await gateway.end();
  }

  async #start(): Promise<GatewayProcess> {
    this.#ends = [];
    const { config, env } = this.#world;
    const after = (end: () => Promise<void>): void => void this.#ends.push(end);
    return await spawnGateway({ after }, { config, env });
  }

  /** Payers that come one after the other, and again those whose end nobody knows, until the gateway is gone. */
  async #load(isOver: () => boolean): Promise<void> {
    const again = this.#open.filter((call) => !call.hungUp || this.#dice.chance(COMES_BACK));
    const payers = Array.from({ length: PAYERS_COUNT }, async () => {
      while (!isOver()) {
        const call = await this.#payers.newCall();
        if (call === null) return;
        this.#unjudged.push(call);
        if (call.repeatable) this.#open.push(call);
        this.count(`sent: ${call.way} ${call.product}`);
        // The same request twice at once, as an impatient client sends it.
        const twice = call.repeatable && this.#dice.chance(0.15);
        await Promise.all([this.#send(call), ...(twice ? [this.#send(call)] : [])]);
      }
    });
    await Promise.all([...again.map((call) => this.#send(call)), ...payers]);
    this.#open = this.#open.filter(({ status }) => status === null);
  }

  async #send(call: Call): Promise<void> {
    await send(this.#world.url, call);
    this.count('requests');
  }

  /** Lets everything come to its end, then judges it. */
  async judge(): Promise<Violation[]> {
    const gateway = await this.#start();
    try {
      const deadlineMs = performance.now() + CALM_MS;
      while (this.#open.length > 0 && performance.now() < deadlineMs) {
        await Promise.all(this.#open.map((call) => this.#send(call)));
        this.#open = this.#open.filter(({ status }) => status === null);
        await pause(200);
      }
      await this.#allEnded().catch(() => this.count('waited in vain for the end of all payments'));
      const violations = await judge(this.#world, this.#unjudged);
      for (const call of this.#unjudged) this.count(outcomeOf(call));
      this.#unjudged = [];
      return violations;
    } finally {
      await gateway.end();
    }
  }

  async #allEnded(): Promise<true> {
    return await until(
      async () => {
        const payments = await this.#world.ledger.listPayments({ limit: 1_000_000 });
        // What is due for refund is final, and its money may still be on its way.
        const isOver = payments.every(({ state }) => FINAL_STATES.has(state));
        return isOver && (await isAllBooked(this.#world, payments));
      },
      { timeoutMs: CALM_MS, everyMs: 200 },
    );
  }

  async print(): Promise<void> {
    for (const { rail, state, reason } of await this.#world.ledger.listPayments({
      limit: 1_000_000,
    }))
      this.count(`payment: ${rail} ${state}${state === 'settled' ? '' : ` (${reason})`}`);
    for (const [what, count] of [...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1)))
      process.stdout.write(`${String(count).padStart(8)}  ${what}\n`);
  }
}

function outcomeOf({ way, product, status, delivered, hungUp }: Call): string {
  if (delivered) return `outcome: ${way} delivered`;
  if (FAILING.has(product)) return `outcome: ${way}, its upstream failed`;
  const how = hungUp ? ', hung up' : '';
  return `outcome: ${way} ${status === null ? 'never answered' : status === 0 ? 'cut off' : status}${how}`;
}

function readArguments(): { rounds: number; seed: number; allowed: ReadonlySet<string> } {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '200' },
      seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 32)) },
      allow: { type: 'string', multiple: true, default: [] },
    },
  });
  const [rounds, seed] = [Number(values.rounds), Number(values.seed)];
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error('--rounds takes a whole number');
  if (!Number.isInteger(seed) || seed < 0) throw new Error('--seed takes a whole number');
  for (const kind of values.allow)
    if (!VIOLATIONS.some((known) => known === kind))
      throw new Error(`--allow takes one of ${VIOLATIONS.join(', ')}`);
  return { rounds, seed, allowed: new Set(values.allow) };
}

/** All of their numbers, and some of their details. */
function printViolations(violations: readonly Violation[]): void {
  for (const kind of VIOLATIONS) {
    const some = violations.filter((one) => one.kind === kind);
    if (some.length > 0)
      process.stdout.write(`${String(some.length).padStart(8)}  violation: ${kind}\n`);
    for (const { detail } of some.slice(0, DETAILS_MAX))
      process.stdout.write(`          ${detail}\n`);
  }
}

async function main(): Promise<number> {
  const { rounds, seed, allowed } = readArguments();
  const repeat = `npm run test:crash -- --rounds ${rounds} --seed ${seed}`;
  process.stdout.write(`${repeat}\n`);
  const startedMs = performance.now();
  const world = await openWorld();
  const run = new Run(world, createDice(seed));
  const violations: Violation[] = [];
  try {
    for (let round = 1; round <= rounds; round++) {
      await run.round();
      if (round % JUDGE_EVERY !== 0 && round !== rounds) continue;
      const found = await run.judge();
      violations.push(...found);
      const seconds = Math.round((performance.now() - startedMs) / 1000);
      process.stdout.write(`round ${round}: ${found.length} violations, ${seconds} s\n`);
      if (found.some(({ kind }) => !allowed.has(kind))) break;
    }
    await run.print();
  } finally {
    await world.close();
  }
  printViolations(violations);
  const broken = violations.some(({ kind }) => !allowed.has(kind));
  const good =
    violations.length === 0 ? 'Nothing was lost.' : 'Nothing was lost but what --allow names.';
  process.stdout.write(`${broken ? `FAILED. Repeat with: ${repeat}` : good}\n`);
  return broken ? 1 : 0;
}

process.exit(await main());
