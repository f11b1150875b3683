/**
 * @file Reports in a real browser: they ask no server for anything, run nothing but their own script, and are readable,
 * in light and dark, at the width of a phone, and without scripts.
 */

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { readRun } from '../../src/report/read-run.js'
import { renderReport } from '../../src/report/render-report.js'
import { AWKWARD, evaluationReport, HOSTILE, reportOfTexts } from '../report/evaluations.js'
import { writeRun } from '../report/runs.js'
import { temporaryDirectory } from '../support/tiny-model.js'
import { BrowserPage } from './browser.js'
import { describeWithPython } from './python.js'

/** WCAG 2.2, 1.4.3: of text of a usual size. */
const LEAST_CONTRAST = 4.5

/**
 * The lowest contrast of a text with what lies behind it, by the formula of WCAG, and what that text is. Behind are the
 * grounds of the element and of those around it.
 */
const CONTRAST = `(() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true })
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1)
    canvas.fillStyle = color
    canvas.fillRect(0, 0, 1, 1)
    return [...canvas.getImageData(0, 0, 1, 1).data]
  }
  const light = (rgb) => {
    const [r, g, b] = rgb.map((part) => part / 255).map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const [r, g, b, a] = rgba(getComputedStyle(at).backgroundColor)
      if (a === 255) return [r, g, b]
    }
    return [255, 255, 255]
  }
  let lowest = { contrast: 99, what: '' }
  let texts = 0
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement
    if (walker.currentNode.textContent.trim() === '' || ['SCRIPT', 'OPTION'].includes(element.tagName)) continue
    if (element.getClientRects().length === 0) continue
    const style = getComputedStyle(element)
    const front = rgba(element instanceof SVGElement ? style.fill : style.color).slice(0, 3)
    const [a, b] = [light(front), light(ground(element))]
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
    texts++
    if (contrast < lowest.contrast) lowest = { contrast, what: element.outerHTML.slice(0, 120) }
  }
  return { ...lowest, texts }
})()`

/** Elements that go beyond the right edge of the screen, but for those in a box that scrolls. */
const beyond = (width: number): string => `[...document.querySelectorAll('body *')]
  .filter((element) => element.getBoundingClientRect().right > ${width} + 0.5 && !element.closest('.scroll'))
  .slice(0, 5).map((element) => element.outerHTML.slice(0, 150))`

describeWithPython('a report in Chromium', () => {
  const directory = temporaryDirectory()
  let page: BrowserPage
  const pages: Record<string, string> = {}

  beforeAll(async () => {
    const run = writeRun(join(directory, 'run'), {
      steps: 3000,
      prompts: ['What is a word?', ...HOSTILE],
      texts: (step) => `${HOSTILE.join(' ')} ${step}`,
      warnings: [...HOSTILE, ...AWKWARD],
      name: 'a first try',
    })
    writeFileSync(join(run, 'eval.json'), JSON.stringify(evaluationReport()))
    mkdirSync(join(directory, 'pages'))
    const texts = {
      run: renderReport({ run: await readRun(run) }),
      evaluation: renderReport({ evaluations: [evaluationReport()] }),
      hostile: renderReport({ evaluations: [reportOfTexts(HOSTILE)] }),
      awkward: renderReport({ evaluations: [reportOfTexts(AWKWARD)] }),
    }
    for (const [name, text] of Object.entries(texts)) {
      const path = join(directory, 'pages', `${name}.html`)
      writeFileSync(path, text)
      pages[name] = pathToFileURL(path).href
    }
    page = await BrowserPage.open(join(directory, 'browser'))
  })
  afterAll(() => page.close())

  const show = async (name: string, { width = 1200, scheme = 'light', hasScripts = true } = {}): Promise<void> => {
    await page.call('Emulation.setDeviceMetricsOverride', {
      width,
      height: 900,
      deviceScaleFactor: 1,
      mobile: width < 600,
    })
    await page.call('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: scheme }] })
    await page.call('Emulation.setScriptExecutionDisabled', { value: !hasScripts })
    await page.go(pages[name] as string)
  }

  it.each(['run', 'evaluation', 'hostile', 'awkward'])(
    'the page %s asks no server, runs nothing of others and complains of nothing',
    async (name) => {
      await show(name)
      expect(page.complaints()).toEqual([])
      expect(page.requests()).toEqual([])
      expect(await page.value('window.pwned')).toBeUndefined()
      expect(await page.value('location.href')).toBe(pages[name])
    },
  )

  it('what comes into the page later cannot run or ask a server either', async () => {
    await show('evaluation')
    // No policy keeps a page from a refresh, which would end it in the middle of this test.
    const texts = HOSTILE.filter((text) => !text.includes('refresh')).join('')
    await page.value(`document.body.insertAdjacentHTML('beforeend', ${JSON.stringify(texts)})`)
    await page.value(
      "document.body.append(Object.assign(document.createElement('script'), { textContent: 'window.pwned = 1' }))",
    )
    expect(await page.value("fetch('http://127.0.0.1:9/').then(() => 'asked', () => 'refused')")).toBe('refused')
    expect(await page.value('window.pwned')).toBeUndefined()
    expect(page.complaints().join('\n')).toContain('Content Security Policy')
  })

  it.each(['run', 'evaluation', 'hostile', 'awkward'])('the page %s is no wider than a phone', async (name) => {
    for (const width of [390, 320]) {
      await show(name, { width })
      expect(await page.value(beyond(width)), `${width}`).toEqual([])
      expect(await page.value('document.documentElement.scrollWidth'), `${width}`).toBe(width)
      expect(await page.value('innerWidth')).toBe(width)
    }
  })

  it.each(['light', 'dark'])('every text stands out from its ground in %s', async (scheme) => {
    for (const name of ['run', 'evaluation', 'awkward']) {
      await show(name, { scheme })
      await page.value("document.querySelectorAll('details').forEach((each) => { each.open = true })")
      const { contrast, what, texts } = await page.value<{ contrast: number; what: string; texts: number }>(CONTRAST)
      expect(texts).toBeGreaterThan(50)
      expect(contrast, what).toBeGreaterThanOrEqual(LEAST_CONTRAST)
    }
    const ground = await page.value<string>('getComputedStyle(document.body).backgroundColor')
    expect(ground).toBe(scheme === 'dark' ? 'rgb(18, 19, 21)' : 'rgb(247, 247, 245)')
  })

  it('a chart tells its values under the pointer and by keys, and changes its axis', async () => {
    await show('run')
    const legend = "document.querySelector('#chart-loss .legend').innerText.replace(/\\s+/g, ' ')"
    const before = await page.value<string>(legend)
    expect(before).toMatch(/^step 3,000 train [\d.]+ eval_loss [\d.]+/)
    const { x, y, width } = await page.value<{ x: number; y: number; width: number }>(
      "(({ x, y, width }) => ({ x, y, width }))(document.querySelector('#chart-loss .field').getBoundingClientRect())",
    )
    await page.call('Input.dispatchMouseEvent', { type: 'mouseMoved', x: x + width / 2, y: y + 20 })
    expect(await page.value(legend)).toMatch(/^step 1,(?:49|50)\d train [\d.]+/)
    await page.call('Input.dispatchMouseEvent', { type: 'mouseMoved', x: 1, y: 1 })
    expect(await page.value(legend)).toBe(before)
    await page.value("document.querySelector('#chart-loss .field').focus()")
    const press = async (key: string): Promise<void> => {
      for (const type of ['keyDown', 'keyUp']) await page.call('Input.dispatchKeyEvent', { type, key })
    }
    await press('Home')
    expect(await page.value(legend)).toMatch(/^step 1 train/)
    await press('ArrowRight')
    const field = "document.querySelector('#chart-loss .field')"
    expect(await page.value(`${field}.getAttribute('aria-valuetext')`)).toMatch(/^step \d+: train [\d.]+, eval_loss /)
    const seen = (kind: string): string =>
      `getComputedStyle(document.querySelector('#chart-loss .field .${kind}')).display`
    expect([await page.value(seen('linear')), await page.value(seen('logarithmic'))]).toEqual(['inline', 'none'])
    await page.value("document.querySelector('#chart-loss .log-on').click()")
    expect([await page.value(seen('linear')), await page.value(seen('logarithmic'))]).toEqual(['none', 'inline'])
    expect(await page.value(seen('logarithmic .smoothed'))).toBe('inline')
    await page.value("document.querySelector('#chart-loss .smooth-on').click()")
    expect(await page.value(seen('logarithmic .smoothed'))).toBe('none')
    expect(page.complaints()).toEqual([])
  })

  it('rows are searched, filtered and put in order', async () => {
    await show('evaluation')
    const rows =
      "[...document.querySelectorAll('.row')].filter((row) => !row.hidden).map((row) => row.dataset.index).join(' ')"
    const set = async (name: string, value: string): Promise<void> => {
      const control = `document.querySelector('[name=${name}]')`
      await page.value(`${control}.value = ${JSON.stringify(value)}; ${control}.dispatchEvent(new Event('input'))`)
    }
    expect(await page.value(rows)).toBe('2 3 1 0 4')
    await set('search', 'FOX quick')
    expect(await page.value(rows)).toBe('0')
    await set('search', '')
    await set('verdict', 'worse')
    expect(await page.value(rows)).toBe('2 3')
    expect(await page.value("document.querySelector('.shown').textContent")).toBe('2 of 5 rows shown')
    await set('verdict', '')
    await set('order', 'number')
    expect(await page.value(rows)).toBe('0 1 2 3 4')
  })

  it('everything is read without scripts, and controls that need them are not there', async () => {
    await show('run', { hasScripts: false })
    const { root } = (await page.call('DOM.getDocument', { depth: 0 })) as { root: { nodeId: number } }
    const boxes = async (selector: string): Promise<boolean> => {
      const { nodeId } = (await page.call('DOM.querySelector', { nodeId: root.nodeId, selector })) as { nodeId: number }
      return await page.call('DOM.getBoxModel', { nodeId }).then(
        () => true,
        () => false,
      )
    }
    expect(await boxes('.row')).toBe(true)
    expect(await boxes('#chart-loss .curve')).toBe(true)
    expect(await boxes('.controls')).toBe(false)
    await page.call('Emulation.setScriptExecutionDisabled', { value: false })
  })
})
