/** @file Outputs of notebooks: their forms, what is escaped, where they go. */

import { inspect } from 'node:util'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { followRun } from '../../src/notebook/follow-run.js'
import { display, liveDisplay } from '../../src/notebook/kernel.js'
import { showTable } from '../../src/notebook/output.js'
import { lossChart, type ObservablePlot, plot } from '../../src/notebook/plot.js'
import { showMask } from '../../src/notebook/show-mask.js'

afterEach(() => vi.unstubAllGlobals())

/** What is used of a document. */
interface Drawing {
  createElementNS(namespace: string, name: string): { readonly outerHTML: string }
}

/** What Deno's kernel was told. */
function stubDeno(): [type: string, content: Record<string, unknown>][] {
  const sent: [string, Record<string, unknown>][] = []
  vi.stubGlobal('Deno', {
    jupyter: { broadcast: async (type: string, content: Record<string, unknown>) => void sent.push([type, content]) },
  })
  return sent
}

describe('a table', () => {
  const output = showTable([
    { word: '<b>', loss: 1.23456789, note: 'two\nlines' },
    { word: 'longer', loss: 12, rows: [1, 2] },
  ])

  it('is aligned text, numbers to the right, with four digits', () => {
    expect(`${output}`).toBe(
      ['word     loss  note        rows', '<b>     1.235  two\\nlines', 'longer     12              [1,2]'].join('\n'),
    )
    expect(inspect(output)).toBe(`${output}`)
  })

  it('is HTML in which no text becomes markup', () => {
    expect(output.data['text/html']).toContain('<td style="text-align:left;white-space:pre-wrap">&lt;b&gt;</td>')
    expect(output.data['text/html']).toContain('<td style="text-align:right;white-space:pre-wrap">1.235</td>')
  })
})

describe('a mask', () => {
  const words = ['Hi', ' <you>', '!', ' more']
  const tokenizer = { decode: (ids: ArrayLike<number>) => Array.from(ids, (id) => words[id]).join('') }
  const sequence = { inputIds: Int32Array.of(0, 1, 2, 3), weights: Float32Array.of(0, 1, 1, 1), keptTokens: 3 }

  it('marks what is learnt, and strikes out what training does not see', () => {
    const output = showMask({ origin: 'rows.jsonl:2', sequences: [{ ...sequence, name: 'chosen' }] }, tokenizer)
    expect(`${output}`).toBe('rows.jsonl:2, chosen: 2 of 4 tokens are learnt\nHi[ <you>][!] more')
    const markup = output.data['text/html'] as string
    expect(markup.match(/background:#b7e4c7/g)).toHaveLength(2)
    expect(markup).toContain('&lt;you&gt;')
    expect(markup).toMatch(/line-through[^>]*> more</)
  })
})

describe('a chart', () => {
  const history = [
    { type: 'start', step: 0 },
    { type: 'log', step: 1, loss: 3 },
    { type: 'evaluate', step: 2, loss: 2.5 },
    { type: 'log', step: 2, loss: 2 },
  ]

  it('draws the losses of each run, and says them in words', async () => {
    const drawn: object[] = []
    const Plot: ObservablePlot = {
      lineY: (data) => data,
      plot: ({ marks, document }) => {
        drawn.push(...(marks as object[]))
        return (document as Drawing).createElementNS('http://www.w3.org/2000/svg', 'svg')
      },
    }
    const output = await lossChart(Plot, { mine: { history } })
    expect(drawn).toEqual([
      [
        { run: 'mine', step: 1, loss: 3 },
        { run: 'mine', step: 2, loss: 2 },
      ],
      [{ run: 'mine', step: 2, loss: 2.5 }],
    ])
    expect(`${output}`).toBe('mine: loss 3.000 to 2.000')
    expect(output.data['image/svg+xml']).toBe('<svg xmlns="http://www.w3.org/2000/svg" />')
  })

  it('says what is missing', async () => {
    await expect(plot({} as never, {}, '')).rejects.toThrow('[plot] expected the module of Observable Plot for Plot')
    const Plot = { lineY: () => ({}), plot: () => ({ outerHTML: '' }) }
    await expect(lossChart(Plot, { mine: { history: [] } })).rejects.toThrow(
      '[lossChart] expected runs with log events, got none; await the run, or set loggingSteps',
    )
  })
})

describe('display', () => {
  it('shows in Deno, and replaces what a live display showed', async () => {
    const sent = stubDeno()
    const [one, two] = [showTable([{ a: 1 }]), showTable([{ a: 2 }])]
    const live = liveDisplay()
    await live.update(one)
    await live.update(two)
    await display(one)
    expect(sent.map(([type]) => type)).toEqual(['display_data', 'update_display_data', 'display_data'])
    expect(sent.map(([, { data }]) => data)).toEqual([one.data, two.data, one.data])
    const ids = sent.map(([, { transient }]) => (transient as { display_id: string }).display_id)
    expect(ids[0]).toBe(ids[1])
    expect(ids[2]).not.toBe(ids[0])
  })

  it('prints text where no notebook is', async () => {
    const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true)
    try {
      await display(showTable([{ a: 1 }]))
      expect(write.mock.calls).toEqual([['a\n1\n']])
    } finally {
      write.mockRestore()
    }
  })

  it('refuses what is no output', async () => {
    stubDeno()
    await expect(display('text' as never)).rejects.toThrow(
      '[display] expected an output of lowrank/notebook, got "text"; showTable, showMask, lossChart and plot make them',
    )
  })
})

describe('a run that is followed', () => {
  it('has one bar, which ends with the last step, and gives its result', async () => {
    const sent = stubDeno()
    const events = [1, 2, 3].map((step) => ({
      type: 'step',
      step,
      totalSteps: 3,
      loss: 3 - step,
      tokensPerSecond: 9.6,
    }))
    const run = Object.assign(Promise.resolve('result'), {
      async *[Symbol.asyncIterator]() {
        yield* [{ type: 'start', step: 0, totalSteps: 3 }, ...events]
      },
    })
    expect(await followRun(run)).toBe('result')
    expect(sent.map(([type]) => type)).toEqual(['display_data', 'update_display_data'])
    expect(sent.at(-1)?.[1].data).toEqual({
      'text/html': '<progress value="3" max="3"></progress> step 3 of 3, loss 0.000, 10 tokens/s',
      'text/plain': 'step 3 of 3, loss 0.000, 10 tokens/s',
    })
  })

  it('fails as the run fails', async () => {
    stubDeno()
    const failed = Promise.reject(new Error('no rows'))
    const run = Object.assign(failed, {
      // biome-ignore lint/correctness/useYield: it fails before its first event
      async *[Symbol.asyncIterator]() {
        await failed
      },
    })
    await expect(followRun(run)).rejects.toThrow('no rows')
  })
})
