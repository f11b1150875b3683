/**
 * @file A page in a headless Chromium, spoken to by its DevTools protocol
 * (https://chromedevtools.github.io/devtools-protocol/).
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable, Writable } from 'node:stream'

const BROWSER = process.env.LOWRANK_TEST_BROWSER ?? 'chromium'
const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--remote-debugging-pipe']

type Answer = Readonly<Record<string, unknown>>

/** A page of a browser of its own. */
export class BrowserPage {
  readonly #process: ChildProcess
  readonly #pipe: Writable
  readonly #waiting = new Map<number, { resolve(answer: Answer): void; reject(error: Error): void }>()
  readonly #events: { readonly method: string; readonly params: Answer }[] = []
  readonly #listeners = new Set<() => void>()
  #session: string | undefined
  #next = 1

  private constructor(browser: ChildProcess) {
    this.#process = browser
    // By --remote-debugging-pipe: the third stream is read by the browser, the fourth written.
    this.#pipe = browser.stdio[3] as Writable
    let text = ''
    ;(browser.stdio[4] as Readable).setEncoding('utf8').on('data', (part: string) => {
      text += part
      const messages = text.split('\0')
      text = messages.pop() ?? ''
      for (const message of messages) this.#receive(JSON.parse(message))
    })
  }

  /** @param directory for the profile */
  static async open(directory: string): Promise<BrowserPage> {
    const browser = spawn(BROWSER, [...FLAGS, `--user-data-dir=${directory}`], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
    })
    const page = new BrowserPage(browser)
    const { targetId } = await page.call('Target.createTarget', { url: 'about:blank' })
    const { sessionId } = await page.call('Target.attachToTarget', { targetId, flatten: true })
    page.#session = sessionId as string
    for (const domain of ['Page', 'Runtime', 'Network', 'Log']) await page.call(`${domain}.enable`)
    return page
  }

  async close(): Promise<void> {
    const ended = once(this.#process, 'exit')
    this.#session = undefined
    await this.call('Browser.close').catch(() => this.#process.kill())
    await ended
  }

  async call(method: string, params: Answer = {}): Promise<Answer> {
    const id = this.#next++
    const answer = new Promise<Answer>((resolve, reject) => this.#waiting.set(id, { resolve, reject }))
    const { stack } = new Error(method)
    this.#pipe.write(`${JSON.stringify({ id, method, params, sessionId: this.#session })}\0`)
    return await answer.catch((error: Error) => {
      throw new Error(`[test] ${method}: ${error.message} ${stack}`)
    })
  }

  /** Opens an address and waits until it has loaded. */
  async go(url: string): Promise<void> {
    this.#events.length = 0
    await this.call('Page.navigate', { url })
    await this.#until(() => this.#events.some(({ method }) => method === 'Page.loadEventFired'))
  }

  /** The value of an expression of the page. */
  async value<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.call('Runtime.evaluate', {
      expression,
      returnByValue: true,
      awaitPromise: true,
    })
    if (exceptionDetails) throw new Error(`[test] ${expression}: ${JSON.stringify(exceptionDetails)}`)
    return (result as { value: T }).value
  }

  /** What the page has asked any server for since it was opened, but for itself. */
  requests(): string[] {
    return this.#paramsOf('Network.requestWillBeSent')
      .map(({ request }) => (request as { url: string }).url)
      .slice(1)
  }

  /** Errors and warnings, of scripts, of the policy of the page and of the browser. */
  complaints(): string[] {
    return [
      ...this.#paramsOf('Runtime.exceptionThrown').map((params) => JSON.stringify(params)),
      ...this.#paramsOf('Runtime.consoleAPICalled').map((params) => JSON.stringify(params)),
      ...this.#paramsOf('Log.entryAdded').map(({ entry }) => JSON.stringify(entry)),
    ]
  }

  #paramsOf(wanted: string): Answer[] {
    return this.#events.filter(({ method }) => method === wanted).map(({ params }) => params)
  }

  async #until(isDone: () => boolean): Promise<void> {
    if (isDone()) return
    await new Promise<void>((resolve) => {
      const listener = (): void => {
        if (!isDone()) return
        this.#listeners.delete(listener)
        resolve()
      }
      this.#listeners.add(listener)
    })
  }

  #receive(message: {
    id?: number
    result?: Answer
    error?: { message: string }
    method?: string
    params?: Answer
  }): void {
    if (message.id !== undefined) {
      const waiting = this.#waiting.get(message.id)
      this.#waiting.delete(message.id)
      if (message.error) waiting?.reject(new Error(message.error.message))
      else waiting?.resolve(message.result ?? {})
      return
    }
    this.#events.push({ method: message.method ?? '', params: message.params ?? {} })
    for (const listener of [...this.#listeners]) listener()
  }
}
