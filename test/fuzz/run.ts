/**
 * Feeds every parser of outside input with what nobody would send, for as long as you like: `npm run fuzz --
 * --minutes 10`. What fails, and what is unlike everything before, is kept in test/corpus, and the tests of every
 * day feed it again. Exit code 1 names what failed.
 */

import { parseArgs } from 'node:util';
import fc from 'fast-check';
import { readCorpus, writeCorpus } from './corpus.ts';
import type { Input, Target } from './target.ts';
import { checkInTime, TARGETS } from './targets.ts';

const RUNS_AT_ONCE = 300;

/** One target and what is known about it. */
class Fuzzing {
  readonly target: Target;
  readonly failed: Input[];
  runs = 0;
  /** An input for each outcome that was seen. */
  readonly #seen = new Map<string, Input>();
  error: string | null = null;

  constructor(target: Target) {
    this.target = target;
    this.failed = [...readCorpus(target.name).failed];
  }

  /** What is kept already is fed first. */
  async replay(): Promise<void> {
    const { failed, kept } = readCorpus(this.target.name);
    for (const input of [...failed, ...kept])
      await this.#feed(input).catch((error) => this.#fail(input, error));
  }

  async turn(seed: number): Promise<void> {
    const property = fc.asyncProperty(this.target.inputs, (input) => this.#feed(input));
    const result = await fc.check(property, { numRuns: RUNS_AT_ONCE, seed });
    this.runs += result.numRuns;
    if (!result.failed || result.counterexample === null) return;
    this.#fail(result.counterexample[0], result.errorInstance);
  }

  save(): void {
    writeCorpus(this.target.name, { failed: this.failed, kept: [...this.#seen.values()] });
  }

  get outcomes(): number {
    return this.#seen.size;
  }

  async #feed(input: Input): Promise<void> {
    const outcome = await checkInTime(this.target, input);
    const known = this.#seen.get(outcome);
    const isShorter = known !== undefined && sizeOf(input) < sizeOf(known);
    if (known === undefined || isShorter) this.#seen.set(outcome, input);
  }

  #fail(input: Input, error: unknown): void {
    this.error = error instanceof Error ? (error.stack ?? error.message) : String(error);
    const text = JSON.stringify(input);
    if (!this.failed.some((known) => JSON.stringify(known) === text)) this.failed.push(input);
  }
}

function sizeOf(input: Input): number {
  return JSON.stringify(input)?.length ?? 0;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '10' },
      seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
      only: { type: 'string' },
    },
  });
  const [minutes, firstSeed] = [Number(values.minutes), Number(values.seed)];
  if (!(minutes > 0) || !Number.isInteger(firstSeed)) throw new Error('--minutes N --seed N');
  process.stdout.write(`npm run fuzz -- --minutes ${minutes} --seed ${firstSeed}\n`);
  const chosen = TARGETS.filter(({ name }) => values.only === undefined || name === values.only);
  const all = chosen.map((target) => new Fuzzing(target));
  for (const one of all) await one.replay();
  const deadlineMs = performance.now() + minutes * 60_000;
  for (let seed = firstSeed; performance.now() < deadlineMs; seed++)
    for (const one of all) if (one.error === null) await one.turn(seed);
  for (const one of all) {
    one.save();
    const { target, runs, outcomes, error } = one;
    process.stdout.write(
      `${String(runs).padStart(9)} runs ${String(outcomes).padStart(5)} outcomes  ${target.name}\n`,
    );
    if (error !== null)
      process.stdout.write(
        `FAILED with ${JSON.stringify(one.failed.at(-1)).slice(0, 500)}\n${error}\n`,
      );
  }
  return all.some(({ error }) => error !== null) ? 1 : 0;
}

// YAML with odd keys makes the parser warn, a thousand times.
process.removeAllListeners('warning');
process.exit(await main());
