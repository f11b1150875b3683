/**
 * @file How a training run is stopped from outside.
 *
 * 1. While a model is fetched and while steps are made, SIGINT, SIGTERM and SIGHUP end the run in order, after its step and with a
 *    checkpoint.
 * 2. A second SIGINT or SIGTERM ends the process. The operating system does it, so that it works whatever JavaScript is doing.
 * 3. At all other times (a tokenizer is read, rows are encoded) there is nothing to save, and the first one ends the process in that way.
 * 4. A closed terminal sends SIGHUP twice, from the shell and from the kernel: it never counts as the second. `nohup` refuses it, which Node
 *    undoes at its start.
 */

export interface Interrupt {
  readonly signal: AbortSignal
  /** Whether signals end the run in order now. */
  arm(armed: boolean): void
  /** Leaves all signals as they were. */
  release(): void
}

// npm and npx hand Ctrl-C on to what they run, which has got it from the terminal too.
const ONE_KEYSTROKE_MS = 100
const DEADLY = ['SIGINT', 'SIGTERM'] as const

/** @param announce is called with the first signal. */
export function watchInterrupts(announce: () => void, env = process.env): Interrupt {
  const controller = new AbortController()
  const hangUpIsRefused = env._?.endsWith('/nohup') === true
  let isArmed = false
  const stop = (): void => {
    if (controller.signal.aborted) return
    controller.abort(new Error('[train] stopped by a signal'))
    const isFromNpm = env.npm_execpath !== undefined
    if (isFromNpm) setTimeout(() => listen(DEADLY, false), ONE_KEYSTROKE_MS).unref()
    else listen(DEADLY, false)
    announce()
  }
  const hangUp = (): void => {
    if (!hangUpIsRefused) stop()
  }
  const listen = (names: readonly NodeJS.Signals[], wanted: boolean): void => {
    for (const name of names) {
      const listener = name === 'SIGHUP' ? hangUp : stop
      process.off(name, listener)
      if (wanted) process.on(name, listener)
    }
  }
  listen(['SIGHUP'], hangUpIsRefused)
  return {
    signal: controller.signal,
    arm(armed) {
      if (armed === isArmed || controller.signal.aborted) return
      isArmed = armed
      listen(DEADLY, armed)
      listen(['SIGHUP'], armed || hangUpIsRefused)
    },
    release: () => listen([...DEADLY, 'SIGHUP'], false),
  }
}
