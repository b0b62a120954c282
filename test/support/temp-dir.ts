/** A fresh folder that is gone when the test is over, or the suite: `tempDir({ after })` in its body. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export function tempDir(t: { after(remove: () => void): void }): string {
  const folder = mkdtempSync(join(tmpdir(), 'coinslot-test-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
