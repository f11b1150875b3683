/** @file The page of an evaluation, read as a browser reads it. */

import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { renderReport } from '../../src/report/render-report.js'
import { AWKWARD, evaluationReport, HOSTILE, metric, reportOfTexts } from './evaluations.js'
import { harmful, type PageElement, readPage, textOf } from './read-page.js'

function page(...given: Parameters<typeof evaluationReport>): PageElement {
  return readPage(renderReport({ evaluations: [evaluationReport(...given)] }))
}

describe('the page', () => {
  it('it forbids the network, and lets nothing run but its own script, by hash', () => {
    const document = page()
    const policy = document.querySelector('meta[http-equiv="Content-Security-Policy"]')?.getAttribute('content')
    const hash = (selector: string): string => {
      const text = document.querySelector(selector)?.textContent ?? ''
      return `'sha256-${createHash('sha256').update(text).digest('base64')}'`
    }
    expect(policy?.split('; ')).toEqual([
      "default-src 'none'",
      `style-src ${hash('style')}`,
      `script-src ${hash('script')}`,
      "base-uri 'none'",
      "form-action 'none'",
    ])
    expect(document.querySelectorAll('script')).toHaveLength(1)
    expect(document.querySelectorAll('style')).toHaveLength(1)
    expect(harmful(document)).toEqual([])
    // The policy comes before everything that it is to hold for.
    expect([...(document.querySelector('head')?.children ?? [])].map(({ tagName }) => tagName).slice(0, 2)).toEqual([
      'META',
      'META',
    ])
  })

  it('its parts are landmarks, its tables have headers, and its pictures have words', () => {
    const document = page()
    for (const landmark of ['header', 'nav[aria-label]', 'main', 'footer'])
      expect(document.querySelectorAll(`body > ${landmark}, header > ${landmark}`).length, landmark).toBe(1)
    for (const table of document.querySelectorAll('table')) {
      expect(table.querySelectorAll('thead th[scope=col]').length).toBeGreaterThan(1)
      for (const row of table.querySelectorAll('tbody tr'))
        expect(row.querySelector('th[scope=row], td')).not.toBeNull()
    }
    for (const svg of document.querySelectorAll('svg'))
      expect(svg.getAttribute('aria-label') ?? svg.getAttribute('aria-hidden')).toBeTruthy()
    const ids = [...document.querySelectorAll('[id]')].map(({ id }) => id)
    expect(new Set(ids).size).toBe(ids.length)
    for (const link of document.querySelectorAll('a')) expect(ids).toContain(link.getAttribute('href')?.slice(1))
  })
})

describe('scores', () => {
  it('each model has its value, interval and difference, and only what is certain is called better or worse', () => {
    const document = page()
    const rows = [...document.querySelectorAll('.scores tbody tr')].map((row) =>
      [...row.querySelectorAll('th, td.number')].map(textOf),
    )
    expect(rows).toEqual([
      ['base', '0.21000.1600 to 0.2600', '–'],
      ['mine', '0.46000.4100 to 0.5100', '+0.2500+0.2000 to +0.3000▲ better p < 0.001'],
      ['base', '0.02000.0050 to 0.0350', '–'],
      ['mine', '0.02400.0090 to 0.0390', '+0.0040−0.0110 to +0.0190no clear difference p = 0.310'],
      ['base', '31.2030.10 to 32.30', '–'],
      ['mine', '8.40007.3000 to 9.5000', '−22.80−23.90 to −21.70▲ better p < 0.001'],
      ['base', '0.61000.5600 to 0.6600', '–'],
      ['mine', '0.58000.5300 to 0.6300', '−0.0300−0.0800 to +0.0200no clear difference p = 0.310'],
      ['base', '0.55000.5100 to 0.5900', '–'],
      ['mine', '0.41000.3700 to 0.4500', '−0.1400−0.1800 to −0.1000▼ worse p < 0.001'],
      ['base', '–no interval', '–'],
      ['mine', '0.50000.4500 to 0.5500', '–'],
    ])
  })

  it('bars and intervals lie where the values are', () => {
    const [first] = page().querySelectorAll('.scores tbody tr:nth-child(2) svg')
    expect(first?.querySelector('.fill')?.getAttribute('width')).toBe('46.00%')
    const whiskers = [...(first?.querySelectorAll('.whisker') ?? [])].map((line) => [
      line.getAttribute('x1'),
      line.getAttribute('x2'),
    ])
    expect(whiskers).toEqual([
      ['41.00%', '51.00%'],
      ['41.00%', '41.00%'],
      ['51.00%', '51.00%'],
    ])
    expect(first?.getAttribute('aria-label')).toBe('0.4600 on an axis from 0 to 1')
  })

  it('scores below 0, such as log-probabilities, grow from 0 to the left', () => {
    const task = {
      ...(evaluationReport().tasks[0] as never as object),
      metrics: [metric('log_prob', { base: -4, mine: -1 }, true, 0)],
    }
    const bars = [...page({ tasks: [task as never] }).querySelectorAll('.fill')]
    expect(bars.map((bar) => [bar.getAttribute('x'), bar.getAttribute('width')])).toEqual([
      ['0.00%', '100.00%'],
      ['75.00%', '25.00%'],
    ])
  })

  it('confusion matrices have a row for each label and a column for answers that name none', () => {
    const [base] = page().querySelectorAll('.heat')
    expect([...(base?.querySelectorAll('thead th') ?? [])].map(textOf)).toEqual([
      'right \\ answered',
      'positive',
      'negative',
      'neutral',
      'no label',
    ])
    expect([...(base?.querySelectorAll('tbody tr') ?? [])].map((row) => [...row.children].map(textOf))).toEqual([
      ['positive', '20', '8', '0', '2'],
      ['negative', '5', '24', '0', '1'],
      ['neutral', '9', '10', '11', '0'],
    ])
    expect([...(base?.querySelectorAll('.hit') ?? [])].map(textOf)).toEqual(['20', '24', '11'])
  })
})

describe('answers', () => {
  it('rows that got worse come first, by how much they did', () => {
    const rows = [...page().querySelectorAll('.row')]
    expect(rows.map((row) => [row.getAttribute('data-index'), row.getAttribute('data-verdicts')])).toEqual([
      ['2', '["worse"]'],
      ['3', '["worse"]'],
      ['1', '["same"]'],
      ['0', '["better"]'],
      ['4', '["better"]'],
    ])
    expect(textOf(page().querySelector('.samples p'))).toContain('5 of 250 rows, those first that got worse by rouge1')
  })

  it('a metric of which less is better is turned round', () => {
    const report = evaluationReport()
    const [task] = report.tasks
    const metrics = [metric('rouge1', { base: 3, mine: 2 }, false)]
    const document = page({ tasks: [{ ...(task as NonNullable<typeof task>), metrics }] })
    expect([...document.querySelectorAll('.row')].map((row) => row.getAttribute('data-index'))).toEqual([
      '4',
      '0',
      '1',
      '3',
      '2',
    ])
  })

  it('words that one of two answers lacks are marked in the other, and per-row scores stand below', () => {
    const row = [...page().querySelectorAll('.row')].find((each) => each.getAttribute('data-index') === '0')
    const [base, mine] = row?.querySelectorAll('.answer') ?? []
    expect([...(base?.querySelectorAll('del') ?? [])].map(textOf)).toEqual(['quick', 'jumps'])
    expect([...(mine?.querySelectorAll('ins') ?? [])].map(textOf)).toEqual(['slow', 'walks'])
    expect(textOf(base?.querySelector('.text'))).toBe('the quick brown fox jumps over it')
    expect([...(mine?.querySelectorAll('.marks li') ?? [])].map(textOf)).toEqual([
      'rouge1 0.6000 (+0.4000)',
      'exact_match 0.0000',
    ])
    expect(textOf(base?.querySelector('.head'))).toBe('base cut at its longest')
  })

  it('answers that are the same say so, and empty ones are seen', () => {
    const rows = [...page().querySelectorAll('.row')]
    expect(textOf(rows[2]?.querySelectorAll('.head')[1])).toBe('mine same answer')
    expect(rows[2]?.querySelectorAll('ins, del')).toHaveLength(0)
    expect(textOf(rows[4]?.querySelector('.answer .text'))).toBe('(empty)')
  })

  it('more rows and longer texts than asked for are left out, and it says how many', () => {
    const report = evaluationReport()
    const document = readPage(renderReport({ evaluations: [report], maxSamples: 2, maxTextLength: 10 }))
    expect(document.querySelectorAll('.row')).toHaveLength(2)
    expect(textOf(document.querySelector('.samples p'))).toContain('2 of 250 rows')
    expect(textOf(document.querySelector('.row .quote'))).toBe('Define the … 15 more characters')
    expect(textOf(document.querySelector('.answer .text'))).toBe('the meanin … 19 more characters')
  })

  it('an emoji is never cut into halves', () => {
    const report = evaluationReport()
    const [task] = report.tasks as [NonNullable<(typeof report.tasks)[0]>]
    const samples = [{ ...(task.samples[0] as NonNullable<(typeof task.samples)[0]>), prompt: 'ab👩cd' }]
    const text = renderReport({ evaluations: [{ ...report, tasks: [{ ...task, samples }] }], maxTextLength: 3 })
    expect(text).toContain('>ab<span class="muted"> … 4 more characters')
  })
})

describe('texts of others', () => {
  it.each([
    ['that try to become markup', HOSTILE],
    ['of other scripts', AWKWARD],
  ] as const)('texts %s stay texts wherever they stand', (_, texts) => {
    const document = readPage(renderReport({ evaluations: [reportOfTexts(texts)] }))
    const plain = page()
    const count = (of: PageElement, name: string): number => of.querySelectorAll(name).length
    for (const name of ['script', 'style', 'meta', 'title', 'main', 'header nav'])
      expect(count(document, name), name).toBe(count(plain, name))
    expect(harmful(document)).toEqual([])
    const [prompt] = document.querySelectorAll('.quote')
    expect(prompt?.children).toHaveLength(0)
    expect(prompt?.textContent).toBe(`${texts[0]}${texts[0]}`)
    expect(textOf(document.querySelector('h2'))).toBe(`${texts[0]} 0`)
  })

  it('names that every object has are no models', () => {
    const report = evaluationReport({ models: [{ name: 'constructor' }, { name: '__proto__' }] })
    const document = readPage(renderReport({ evaluations: [report] }))
    expect(textOf(document.querySelector('.scores tbody td.number'))).toBe('–not computed')
    expect(textOf(document.querySelector('.answer'))).toBe('constructor not answered')
  })
})

describe('options', () => {
  it('several evaluations stand on one page, and each has its sections', () => {
    const document = readPage(
      renderReport({ evaluations: [evaluationReport(), evaluationReport({ model: 'other' })], title: 'Both' }),
    )
    expect(textOf(document.querySelector('h1'))).toBe('Both')
    expect([...document.querySelectorAll('h2')].map(({ id }) => id)).toEqual([
      'evaluation-1-task-1',
      'evaluation-1-task-2',
      'evaluation-2-task-1',
      'evaluation-2-task-2',
    ])
  })

  it('unknown options and an empty report are refused', () => {
    expect(() => renderReport({ evaluation: [] } as never)).toThrow(
      '[report] unknown option "evaluation"; did you mean "evaluations"?',
    )
    expect(() => renderReport({})).toThrow(
      '[report] expected a run or evaluations, got none; give what readRun or an evaluation gave',
    )
  })
})
