/** @file What is told while files come: the event, and how often. */

/**
 * Files of a model or a data set come from the Hub. The first event tells of all of them before they begin, the last
 * has `bytes` equal to `totalBytes`; where all are in the cache there are none.
 */
export interface DownloadEvent {
  readonly type: 'download'
  /** The id on the Hub, also where it is one of a data set; of a file elsewhere its address. */
  readonly model: string
  /** The commit; of a file that is not on the Hub empty. */
  readonly revision: string
  /** Files that come. */
  readonly files: number
  /** Bytes of them that are there, those of an earlier attempt included. */
  readonly bytes: number
  readonly totalBytes: number
}

/** Milliseconds between two events. */
const EVENT_INTERVAL = 100

/** Tells of the begin at once, then of bytes as they come, and of the end. */
export function downloadReport(
  begun: Omit<DownloadEvent, 'bytes'>,
  onEvent: ((event: DownloadEvent) => void) | undefined,
): { readonly add: (count: number) => void; readonly end: () => void } {
  let bytes = 0
  let reported = Number.NEGATIVE_INFINITY
  const report = (): void => {
    reported = performance.now()
    onEvent?.({ ...begun, bytes })
  }
  report()
  return {
    add(count) {
      bytes += count
      if (count !== 0 && bytes < begun.totalBytes && performance.now() - reported >= EVENT_INTERVAL) report()
    },
    end: report,
  }
}
