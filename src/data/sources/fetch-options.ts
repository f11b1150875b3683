/** @file How sources that are not on this machine are fetched. */

import type { DownloadEvent } from '../../hub/download-event.js'
import type { HubOptions } from '../../hub/settings.js'

/** Options of the Hub, which those of a data set go over. */
export interface FetchOptions extends Omit<HubOptions, 'revision'> {
  /** Is told while files come. */
  readonly onEvent?: ((event: DownloadEvent) => void) | undefined
}
