/** A flame graph as one HTML file that needs nothing else: width is time, a click zooms, hovering tells. */

import type { FrameNode } from './cpu-profile.ts';

/** A frame narrower than this share of the whole is left out. */
const SHARE_MIN = 0.0005;
const ROW_PX = 18;

interface Box {
  readonly name: string;
  readonly title: string;
  readonly colour: string;
  /** Shares of the whole width. */
  readonly left: number;
  readonly width: number;
  readonly depth: number;
}

export function flameGraph(root: FrameNode, title: string): string {
  const boxes: Box[] = [];
  place(root, root.totalUs, 0, 0, boxes);
  const depth = Math.max(0, ...boxes.map((box) => box.depth)) + 1;
  const divs = boxes.map(
    ({ name, title: hover, colour, left, width, depth: row }) =>
      `<div data-left="${left}" data-width="${width}" style="top:${row * ROW_PX}px;background:${colour}" title="${escaped(hover)}">${escaped(name)}</div>`,
  );
  return PAGE.replaceAll('{title}', escaped(title))
    .replace('{height}', String(depth * ROW_PX))
    .replace('{boxes}', divs.join('\n'));
}

function place(node: FrameNode, wholeUs: number, left: number, depth: number, boxes: Box[]): void {
  const width = node.totalUs / wholeUs;
  if (!(width >= SHARE_MIN)) return;
  const { name, place: at } = node.frame;
  const percent = (us: number): string => `${((100 * us) / wholeUs).toFixed(2)} %`;
  boxes.push({
    name,
    title: `${name} ${at}\n${percent(node.totalUs)} in all, ${percent(node.selfUs)} itself`,
    colour: colourOf(name, at),
    ...{ left, width, depth },
  });
  let next = left;
  for (const child of node.children.toSorted((a, b) => b.totalUs - a.totalUs)) {
    place(child, wholeUs, next, depth + 1, boxes);
    next += child.totalUs / wholeUs;
  }
}

/** Our own code, packages, node itself, and what is native or the engine's own. */
function colourOf(name: string, at: string): string {
  if (name === '(garbage collector)') return '#d9534f';
  if (at === '') return '#c9c9c9';
  if (at.startsWith('node:')) return '#9fc5e8';
  return /^(src|bench)\//.test(at) ? '#f6b26b' : '#b6d7a8';
}

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (mark) => `&#${mark.charCodeAt(0)};`);
}

const PAGE = `<!doctype html>
<meta charset="utf-8">
<title>{title}</title>
<style>
body { font: 12px system-ui, sans-serif; margin: 12px; }
#flames { position: relative; height: {height}px; overflow: hidden; }
#flames div { position: absolute; height: ${ROW_PX - 2}px; line-height: ${ROW_PX - 2}px; overflow: hidden;
  white-space: nowrap; cursor: pointer; box-sizing: border-box; border-right: 1px solid #fff; padding-left: 2px; }
span { padding: 0 6px; }
</style>
<h1>{title}</h1>
<p><span style="background:#f6b26b">own code</span> <span style="background:#b6d7a8">packages</span>
<span style="background:#9fc5e8">node</span> <span style="background:#c9c9c9">native</span>
<span style="background:#d9534f">garbage collection</span>; a click zooms in, a click on the lowest row out again</p>
<div id="flames">
{boxes}
</div>
<script>
const boxes = [...document.querySelectorAll('#flames div')];
function zoom(left, width) {
  for (const box of boxes) {
    const start = (Number(box.dataset.left) - left) / width;
    const share = Number(box.dataset.width) / width;
    box.style.display = start + share <= 1e-9 || start >= 1 - 1e-9 ? 'none' : '';
    box.style.left = Math.max(0, start) * 100 + '%';
    box.style.width = (Math.min(1, start + share) - Math.max(0, start)) * 100 + '%';
  }
}
for (const box of boxes)
  box.onclick = () => zoom(Number(box.dataset.left), Number(box.dataset.width));
zoom(0, 1);
</script>
`;
