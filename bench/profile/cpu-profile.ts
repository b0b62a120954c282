/** Reads a `.cpuprofile` of V8: a tree of frames with the time that was spent in each. */

import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Frame {
  readonly name: string;
  /** `src/gateway.ts:42`, a package, `node:http`, or empty for what is native. */
  readonly place: string;
}

export interface FrameNode {
  readonly frame: Frame;
  /** Microseconds in the frame itself. */
  selfUs: number;
  /** With everything that it called. */
  totalUs: number;
  readonly children: FrameNode[];
}

export interface CpuProfile {
  readonly root: FrameNode;
  readonly sampledUs: number;
  readonly idleUs: number;
}

export interface FrameTime {
  readonly frame: Frame;
  readonly selfUs: number;
  /** Of a recursive function, each of its frames counts. */
  readonly totalUs: number;
}

interface RawNode {
  readonly id: number;
  readonly callFrame: {
    readonly functionName: string;
    readonly url: string;
    /** From 0. */
    readonly lineNumber: number;
  };
  readonly children?: readonly number[];
}

interface RawProfile {
  readonly nodes: readonly RawNode[];
  readonly startTime: number;
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const IDLE = '(idle)';

/** Only samples between two moments count, in microseconds of the monotonic clock. */
export function readCpuProfile(file: string, startUs: number, endUs: number): CpuProfile {
  const raw = JSON.parse(readFileSync(file, 'utf8')) as RawProfile;
  const nodes = new Map<number, FrameNode>();
  for (const { id, callFrame } of raw.nodes)
    nodes.set(id, { frame: frameOf(callFrame), selfUs: 0, totalUs: 0, children: [] });
  for (const { id, children = [] } of raw.nodes)
    for (const child of children) nodeOf(nodes, id).children.push(nodeOf(nodes, child));

  let atUs = raw.startTime;
  let sampledUs = 0;
  let idleUs = 0;
  for (const [i, id] of raw.samples.entries()) {
    atUs += raw.timeDeltas[i] ?? 0;
    // A sample stands for the time until the next one.
    const lastedUs = raw.timeDeltas[i + 1] ?? 0;
    if (atUs < startUs || atUs > endUs) continue;
    const node = nodeOf(nodes, id);
    sampledUs += lastedUs;
    if (node.frame.name === IDLE) idleUs += lastedUs;
    else node.selfUs += lastedUs;
  }
  const root = nodeOf(nodes, raw.nodes[0]?.id ?? 0);
  sumUp(root);
  return { root, sampledUs, idleUs };
}

function nodeOf(nodes: ReadonlyMap<number, FrameNode>, id: number): FrameNode {
  const node = nodes.get(id);
  if (node === undefined) throw new Error('the profile names a frame that it does not hold');
  return node;
}

function sumUp(node: FrameNode): number {
  node.totalUs = node.selfUs;
  for (const child of node.children) node.totalUs += sumUp(child);
  return node.totalUs;
}

/** The functions with the most time of their own, wherever they were called from. */
export function topBySelfTime({ root }: CpuProfile, count: number): FrameTime[] {
  const times = new Map<string, { frame: Frame; selfUs: number; totalUs: number }>();
  const visit = (node: FrameNode): void => {
    const key = `${node.frame.name} ${node.frame.place}`;
    const time = times.get(key) ?? { frame: node.frame, selfUs: 0, totalUs: 0 };
    time.selfUs += node.selfUs;
    time.totalUs += node.totalUs;
    times.set(key, time);
    node.children.forEach(visit);
  };
  visit(root);
  return [...times.values()].sort((a, b) => b.selfUs - a.selfUs).slice(0, count);
}

function frameOf({ functionName, url, lineNumber }: RawNode['callFrame']): Frame {
  return {
    name: functionName === '' ? '(anonymous)' : functionName,
    place: placeOf(url, lineNumber + 1),
  };
}

function placeOf(url: string, line: number): string {
  if (url === '') return '';
  if (!url.startsWith('file:') && !url.startsWith('/')) return `${url}:${line}`;
  const path = relative(ROOT, url.startsWith('file:') ? fileURLToPath(url) : url);
  return `${path.replace(/^.*node_modules\//, '')}:${line}`;
}
