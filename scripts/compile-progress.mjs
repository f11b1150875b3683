/** @file Shows how far a build is: on a terminal a bar in place, elsewhere a line at each quarter, and one line with the time when it is done. */

const BAR = 24
const QUARTERS = 4

/**
 * @param {{ write: (text: string) => unknown, isTTY?: boolean }} stream
 * @param {() => number} now milliseconds
 */
export function compileProgress(stream, now = () => performance.now()) {
  const begin = now()
  let shown = ''
  let quarter = 0
  const clear = () => {
    if (shown) stream.write(`\r${' '.repeat(shown.length)}\r`)
    shown = ''
  }
  return {
    /** @param {number} done files @param {number} total files */
    update(done, total) {
      if (stream.isTTY) {
        const full = Math.floor((BAR * done) / total)
        clear()
        shown = `Compiling [${'#'.repeat(full)}${'.'.repeat(BAR - full)}] ${done}/${total}`
        stream.write(shown)
        return
      }
      const reached = Math.floor((QUARTERS * done) / total)
      if (reached <= quarter) return
      quarter = reached
      stream.write(`Compiling ${done}/${total}\n`)
    },
    /** Takes the bar away, so that something else can be printed. */
    clear,
    /** @param {number} total files */
    done(total) {
      clear()
      const seconds = ((now() - begin) / 1000).toFixed(1)
      stream.write(`${'Compiling '.padEnd(28, '.')} ${seconds} s, ${total} files\n`)
    },
  }
}
