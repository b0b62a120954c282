/** `GET /v1/models`: the gateway's own answer, in the form of OpenAI's list and of Anthropic's. */

import type { Upstream, UpstreamAnswer } from '../core/ports/upstream.ts';

const PATH = '/v1/models';

/** Answers with all entries, or with the one whose id stands behind the path. */
export function modelListUpstream(entries: readonly { readonly id: string }[]): Upstream {
  const byId = new Map(entries.map((entry) => [entry.id, entry]));
  // Clients encode the slash of a full name, which no path may have: the bare name finds it too.
  for (const entry of entries) {
    const bare = entry.id.slice(entry.id.indexOf('/') + 1);
    if (!byId.has(bare)) byId.set(bare, entry);
  }
  const all = {
    ...{ object: 'list', data: entries, has_more: false },
    ...{ first_id: entries[0]?.id ?? null, last_id: entries.at(-1)?.id ?? null },
  };
  return {
    async send({ path }) {
      const id = decodeURIComponent(path.split('?')[0]?.slice(PATH.length + 1) ?? '');
      if (id === '') return answer(200, all);
      const entry = byId.get(id);
      if (entry !== undefined) return answer(200, entry);
      const message = `The model ${JSON.stringify(id.slice(0, 80))} is not in the list.`;
      const error = { message, type: 'not_found_error', param: 'model', code: 'model_not_found' };
      return answer(404, { type: 'error', error });
    },
    async close() {},
  };
}

function answer(status: number, value: object): UpstreamAnswer {
  const body = Buffer.from(JSON.stringify(value));
  return { status, headers: ['content-type', 'application/json'], body };
}
