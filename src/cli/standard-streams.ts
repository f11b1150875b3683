/**
 * @file What happens when nobody takes what is written to stdout and stderr: the reader has gone, the terminal is
 * closed, the disk of a log is full. stderr never ends a program. stdout ends it where it carries the result, and does
 * not where the result is on the disk.
 */

const REASONS: Record<string, string | undefined> = {
  ENOSPC: 'no space is left',
  EDQUOT: 'no space is left',
  EIO: 'the terminal or the disk is gone',
  EFBIG: 'the file system does not hold files of this size',
}

let isResult = true
let hasFailed = false

/** To be called once, before anything is written. */
export function guardStandardStreams(): void {
  process.stderr.on('error', () => {})
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // Whoever reads may stop reading, as `head` does: then the rest of a result is not wanted.
    const isClosed = error.code === 'EPIPE'
    if (isResult && isClosed) process.exit(0)
    if (!hasFailed && !isClosed) process.stderr.write(`${isResult ? 'error' : 'warning'}: ${describe(error)}\n`)
    hasFailed = true
    if (isResult) process.exit(1)
  })
}

/** What this command writes to stdout only tells of its work: the work goes on when it cannot be written. */
export function expectResultOnDisk(): void {
  isResult = false
}

function describe(error: NodeJS.ErrnoException): string {
  const reason = REASONS[error.code ?? ''] ?? error.message
  return `stdout cannot be written: ${reason} (${error.code})${isResult ? '' : '; the work goes on'}`
}
