/** @file A directory that is copied, as the command line shows it. */

import { formatBytes } from '../../bytes.js'
import type { SyncDirectoryOptions } from '../../databricks/client/files/options.js'
import { syncDirectory } from '../../databricks/client/files/sync.js'
import type { SyncEvent } from '../../databricks/client/files/sync-events.js'
import { createBar } from '../../progress/progress.js'
import { harmless } from '../../progress/text-width.js'
import { untilSignal } from '../until-signal.js'

/** Copies, with a bar; then the counts, or the paths of a dry run. */
export async function showSync(
  from: string,
  to: string,
  options: SyncDirectoryOptions,
  { json, verb }: { readonly json: boolean; readonly verb: string },
): Promise<void> {
  const bar = createBar()
  const changes: Pick<SyncEvent, 'action' | 'path' | 'bytes'>[] = []
  const links: string[] = []
  const onProgress = ({ action, path, bytes, done, total }: SyncEvent): void => {
    if (action === 'link') links.push(path)
    if (options.dryRun && (action === 'copy' || action === 'delete')) changes.push({ action, path, bytes })
    const parts = [{ text: `${done} of ${total} files`, importance: 2 }]
    bar.show({ label: { text: 'Copying', importance: 1 }, fraction: total === 0 ? 1 : done / total, parts })
  }
  const result = await untilSignal((signal) =>
    syncDirectory(from, to, { ...options, signal, onProgress }).finally(() => bar.close()),
  )
  if (json) {
    process.stdout.write(`${JSON.stringify({ from, to, ...result, ...(options.dryRun && { changes }) })}\n`)
    return
  }
  for (const { action, path } of changes)
    process.stdout.write(`${action === 'copy' ? 'copy  ' : 'remove'}  ${harmless(path)}\n`)
  const { copied, copiedBytes, deleted, skipped } = result
  const removed = deleted > 0 ? `, ${options.dryRun ? 'would remove' : 'removed'} ${deleted}` : ''
  const what = `${copied} ${copied === 1 ? 'file' : 'files'} (${formatBytes(copiedBytes)})`
  process.stdout.write(`${options.dryRun ? 'Would copy' : verb} ${what}${removed}; ${skipped} are the same\n`)
  if (links.length > 0)
    process.stderr.write(
      `warning: passed over ${links.length} links that lead to no file: ${harmless(links.slice(0, 3).join(', '))}\n`,
    )
}
