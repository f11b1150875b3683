/**
 * @file Directories of the adapters that a command was given: those of the Hub and of Unity Catalog are fetched,
 * with a bar.
 */

import { resolveAdapter } from '../adapters/resolve-adapter.js'
import { formatBytes } from '../bytes.js'
import { createBar } from '../progress/progress.js'
import { untilSignal } from './until-signal.js'

/** In the order in which they were given. */
export async function localAdapters(given: readonly string[], json: boolean | undefined): Promise<string[]> {
  const directories: string[] = []
  for (const name of given) {
    const bar = createBar()
    const onProgress = ({ bytes, totalBytes }: { readonly bytes: number; readonly totalBytes: number }): void => {
      const label = { text: `Fetching ${name}`, importance: 1 }
      const text = `${formatBytes(bytes)} of ${formatBytes(totalBytes)}`
      bar.show({ label, fraction: totalBytes === 0 ? 1 : bytes / totalBytes, parts: [{ text, importance: 2 }] })
    }
    const fetch = (signal: AbortSignal) => resolveAdapter(name, { ...(!json && { onProgress }), signal })
    directories.push(await untilSignal(fetch).finally(() => bar.close()))
  }
  return directories
}
