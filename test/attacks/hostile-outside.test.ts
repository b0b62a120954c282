/**
 * What is outside of the gateway turns hostile: nodes, facilitators, clocks, the chain itself. All of it is run
 * by one file because nearly all of its time is waiting for time-outs, and what waits together waits once.
 */

import { after, before, describe } from 'node:test';
import { type EvmDevnet, startEvmDevnet } from '../../src/devnet/start-evm-devnet.ts';
import { failOnLeaks } from '../support/leak-check.ts';
import { chainsThatStop, clocksThatDiffer } from './outside-chain.ts';
import {
  facilitatorsBeforeTheWork,
  facilitatorsWhileTheMoneyMoves,
} from './outside-facilitators.ts';
import {
  liesBeforeTheWork,
  liesWhileTheMoneyMoves,
  swallowedTransactions,
} from './outside-lies.ts';
import { nodesBeforeTheWork, nodesInAList, nodesWhileTheMoneyMoves } from './outside-nodes.ts';
import { ACCOUNTS_COUNT } from './outside-stage.ts';
import { unknownSettlements } from './outside-unknown.ts';

failOnLeaks();

/** More would only make each other late: a gateway and its outside take some CPU. */
const AT_ONCE = 16;

let devnet: EvmDevnet;
const chain = (): EvmDevnet => devnet;

before(async () => {
  devnet = await startEvmDevnet({ accountsCount: ACCOUNTS_COUNT });
});
after(() => devnet.close());

describe('a hostile outside', { concurrency: AT_ONCE }, () => {
  // Those that wait longest go first.
  chainsThatStop();
  nodesWhileTheMoneyMoves(chain);
  nodesBeforeTheWork(chain);
  nodesInAList(chain);
  facilitatorsBeforeTheWork(chain);
  facilitatorsWhileTheMoneyMoves(chain);
  unknownSettlements(chain);
  liesBeforeTheWork(chain);
  liesWhileTheMoneyMoves(chain);
  swallowedTransactions(chain);
  clocksThatDiffer(chain);
});
