/**
 * @file The chat page of the server in Chromium: it asks its own server alone, shows answers, and complains of nothing.
 */

import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type RunningServer, serve } from '../../src/serve/node-server.js'
import { answerIds, serveScripted, tokenizer } from '../serve/served.js'
import { temporaryDirectory } from '../support/tiny-model.js'
import { BrowserPage } from './browser.js'
import { describeWithPython } from './python.js'

const KEY = 'a-key-of-the-test'
const HOSTILE = '<img src=x onerror=alert(1)> <script>hello</script>'

describeWithPython('the chat page in Chromium', () => {
  const directory = temporaryDirectory()
  let page: BrowserPage
  let server: RunningServer
  /** The prompts, and what the next answers wait for. */
  const asked: string[] = []
  let hold: Promise<void> | undefined
  let release: () => void = () => undefined
  let fails = false

  beforeAll(async () => {
    const answer = ({ promptIds }: { promptIds: Int32Array }): number[] => {
      if (fails) throw new Error('[test] no answer')
      asked.push(tokenizer.decode(promptIds))
      return answerIds(`${HOSTILE} ${promptIds.length}`)
    }
    const beforeToken = (at: number): Promise<void> | undefined => (at === 6 ? hold : undefined)
    const engine = { adapters: ['law'], beforeToken }
    server = await serve(serveScripted(answer, { apiKeys: [KEY], engine }).handler, { port: 0 })
    page = await BrowserPage.open(join(directory, 'browser'))
  })
  afterAll(async () => {
    await page.close()
    await server.close()
  })

  const until = async (expression: string): Promise<void> => {
    await expect.poll(() => page.value<boolean>(expression), { timeout: 20_000 }).toBe(true)
  }
  const ask = async (text: string): Promise<void> => {
    await page.value(`document.getElementById('text').value = ${JSON.stringify(text)}`)
    await page.value(`document.getElementById('form').requestSubmit()`)
  }

  it('asks for the key, lists the models, and answers as text what is no text', async () => {
    await page.go(`${server.url}/`)
    await until(
      `!document.getElementById('key').hidden && document.getElementById('status').textContent.includes('API key')`,
    )
    await page.value(
      `{ const key = document.getElementById('key'); key.value = '${KEY}'; key.dispatchEvent(new Event('change')) }`,
    )
    await until(`document.getElementById('model').options.length === 2`)
    expect(await page.value(`[...document.getElementById('model').options].map(({ value }) => value).join()`)).toBe(
      'tiny,law',
    )
    await ask(HOSTILE)
    await until(`document.getElementById('status').textContent.includes('tokens/s')`)
    const shown = await page.value<string[]>(
      `[...document.querySelectorAll('article')].map(({ textContent }) => textContent)`,
    )
    expect(shown[0]).toBe(HOSTILE)
    expect(shown[1]?.startsWith(HOSTILE)).toBe(true)
    expect(await page.value('document.querySelectorAll("main img, main script").length')).toBe(0)
  })

  it('sends what was said before, and forgets it by a button', async () => {
    const lengthOf = `Number(document.querySelector('article:last-child').textContent.split(' ').at(-1))`
    const first = await page.value<number>(lengthOf)
    await ask('one')
    await until(
      `document.querySelectorAll('article').length === 4 && document.getElementById('send').textContent === 'Send'`,
    )
    expect(await page.value<number>(lengthOf)).toBeGreaterThan(first)
    await page.value(`document.getElementById('reset').click()`)
    expect(await page.value('document.querySelectorAll("article").length')).toBe(0)
  })

  it('keeps what was said before it was stopped, and gives a message back that was not answered', async () => {
    hold = new Promise((resolve) => {
      release = resolve
    })
    await ask('wait')
    await until(`(document.querySelector('article:last-child')?.textContent ?? '').length > 3`)
    await page.value(`document.getElementById('send').click()`)
    await until(`document.getElementById('status').textContent === 'Stopped.'`)
    release()
    await ask('again')
    await until(
      `document.querySelectorAll('article').length === 4 && document.getElementById('send').textContent === 'Send'`,
    )
    expect(asked.at(-1)).toMatch(/user\nwait<\|im_end\|>\n<\|im_start\|>assistant\n<img[\s\S]*user\nagain/)
    fails = true
    await ask('fail')
    await until(`document.querySelector('article.error') !== null && document.getElementById('text').value === 'fail'`)
    fails = false
    await page.value(`document.getElementById('reset').click(); document.getElementById('text').value = ''`)
  })

  it('asks no other server, and complains of nothing but the errors of the server', async () => {
    for (const url of page.requests()) expect(url.startsWith(server.url) || url.startsWith('data:')).toBe(true)
    expect(page.complaints().filter((text) => !/401|500/.test(text))).toEqual([])
  })
})
