/** One-time credentials that are running in this process: the same request joins, another is refused. */

import { AnswerGone, CredentialReused } from '../core/errors.ts';
import type { Answer } from '../core/exchange.ts';
import { isStream } from '../core/exchange.ts';

interface Run {
  readonly digest: string;
  readonly answer: Promise<Answer>;
  open: boolean;
}

export class InFlight {
  readonly #runs = new Map<string, Run>();

  /**
   * Runs `work`; with a one-time credential (not empty) joins the run that has the same credential and digest. Throws CredentialReused when
   * the digest differs, AnswerGone when the first requester's answer streams or may no longer be shared.
   */
  runOrJoin(credential: string, digest: string, work: () => Promise<Answer>): Promise<Answer> {
    if (credential === '') return work();
    const running = this.#runs.get(credential);
    if (running) return this.#join(running, digest);
    const answer = work().finally(() => this.#runs.delete(credential));
    this.#runs.set(credential, { digest, answer, open: true });
    return answer;
  }

  /** No more joins: the credential is about to become public. */
  close(credential: string): void {
    const run = this.#runs.get(credential);
    if (run) run.open = false;
  }

  async #join(run: Run, digest: string): Promise<Answer> {
    if (run.digest !== digest)
      throw new CredentialReused('This credential is paying another request.');
    if (!run.open) throw new AnswerGone('The answer to this credential is no longer shared.');
    const answer = await run.answer;
    if (answer.status === 499)
      throw new AnswerGone('The request that came first was given up by its client.');
    if (isStream(answer.body))
      throw new AnswerGone('The answer streams to the request that came first.');
    return answer;
  }
}
