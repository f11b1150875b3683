/** @file Runs as their directories tell of them: ended, going on, killed, damaged. Their pages, and comparisons. */

import { appendFileSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { trainLora } from '../../src/integrations/train-lora.js'
import { type ComparedRun, differingOptions, findRuns, sortRuns } from '../../src/report/compare-runs.js'
import { readRun } from '../../src/report/read-run.js'
import { renderReport } from '../../src/report/render-report.js'
import { writeReport } from '../../src/report/write-report.js'
import { OutputDirectory } from '../../src/train/output-directory.js'
import { rejection, temporaryDirectory, tinyRows, writeTinyModel } from '../support/tiny-model.js'
import { evaluationReport, HOSTILE } from './evaluations.js'
import { harmful, type PageElement, readPage, textOf, textsOf } from './read-page.js'
import { logLine, writeRun } from './runs.js'

const directory = temporaryDirectory()
const at = (...names: string[]): string => join(directory, ...names)

const pageOf = async (path: string): Promise<PageElement> => readPage(renderReport({ run: await readRun(path) }))

describe('a run that ended', () => {
  it('its page has curves, evaluations, answers, checkpoints, rows and options', async () => {
    const path = writeRun(at('whole'), {
      name: 'first try',
      prompts: ['What is a word?'],
      texts: (step) => `the answer number ${step}`,
      warnings: ['a learning rate of 3 moves each weight'],
    })
    const page = await pageOf(path)
    expect(textOf(page.querySelector('h1'))).toBe('first try')
    expect(textsOf(page, 'h2')).toEqual([
      'Curves',
      'Evaluations',
      'Answers over time',
      'Warnings',
      'Checkpoints',
      'Data',
      'Options',
    ])
    expect(textsOf(page, 'figcaption')).toEqual([
      'Loss',
      'Learning rate',
      'Gradient norm before clipping',
      'Speed tokens per second',
      'eval_perplexity',
      'eval_quiz_accuracy',
    ])
    expect(textsOf(page, '#chart-loss .legend li').map((text) => text.split(' ')[0])).toEqual([
      'step',
      'train',
      'eval_loss',
      'eval_books_loss',
      'eval_chat_loss',
    ])
    expect(textsOf(page, '.facts div').slice(0, 3)).toEqual([
      'Step200of 200',
      expect.stringMatching(/^Training loss[\d.]+at step 200$/),
      'Best evaluation1.215eval_loss at step 200',
    ])
    expect(textsOf(page, '.notes li')).toEqual([
      '3 rows lost their end to maxLength 512',
      'a learning rate of 3 moves each weight',
    ])
    expect(textsOf(page, 'article ins')).toEqual(['100', '150', '200'])
    expect(textsOf(page, 'section').find((text) => text.startsWith('Checkpoints'))).toMatch(/checkpoint-50506.\d* KiB/)
    const tables = [...page.querySelectorAll('section')].map((section) => textsOf(section, 'tbody tr'))
    expect(tables.flat()).toContain('training.learningRate0.0002')
    expect(tables.flat()).toContain('Learnt tokens30,000')
    expect(harmful(page)).toEqual([])
  })

  it('evaluations in its directory and one folder below stand on its page', async () => {
    const path = writeRun(at('evaluated'))
    mkdirSync(join(path, 'scores'))
    writeFileSync(join(path, 'eval.json'), JSON.stringify(evaluationReport()))
    writeFileSync(join(path, 'scores', 'later.json'), JSON.stringify(evaluationReport()))
    writeFileSync(join(path, 'broken.json'), JSON.stringify({ ...evaluationReport(), startedAt: 5 }))
    writeFileSync(join(path, 'other.json'), '{"a": 1}')
    const run = await readRun(path)
    expect(run.evaluations.map(({ file }) => file)).toEqual(['eval.json', join('scores', 'later.json')])
    expect(run.notes).toEqual([
      '[report] expected text for startedAt in broken.json, got 5; write the file anew with lowrank eval --output',
    ])
    const page = readPage(renderReport({ run }))
    expect([...page.querySelectorAll('h2')].map(({ id }) => id).slice(-4)).toEqual([
      'evaluation-1-task-1',
      'evaluation-1-task-2',
      'evaluation-2-task-1',
      'evaluation-2-task-2',
    ])
    const ids = [...page.querySelectorAll('[id]')].map(({ id }) => id)
    expect(new Set(ids).size).toBe(ids.length)
  })

  it('texts that try to become markup stay texts in every place of a run', async () => {
    const all = HOSTILE.join(' ')
    const path = writeRun(at('hostile'), {
      name: all,
      prompts: HOSTILE,
      texts: (step) => `${all} ${step}`,
      warnings: HOSTILE,
      options: { model: all, [all]: all, nested: { [all]: [all] } },
    })
    appendFileSync(
      join(path, 'log.jsonl'),
      `${JSON.stringify({ type: 'log', step: 201, loss: 1, [all]: 3, figures: { [all]: 2 } })}\n`,
    )
    const page = await pageOf(path)
    expect(harmful(page)).toEqual([])
    expect(page.querySelectorAll('script')).toHaveLength(1)
    expect(textOf(page.querySelector('h1'))).toBe(all)
    for (const text of HOSTILE) expect(textsOf(page, '.notes li')).toContain(text.trim())
  })

  it('a page of 100,000 steps is not larger than one of 10,000', async () => {
    const sizes: number[] = []
    for (const steps of [10_000, 100_000]) {
      const path = writeRun(at(`long-${steps}`), { steps: 10 })
      writeFileSync(
        join(path, 'log.jsonl'),
        Array.from({ length: steps }, (_, step) => logLine(step, 1 + (step % 7))).join(''),
      )
      sizes.push(renderReport({ run: await readRun(path) }).length)
    }
    // Steps have a digit more.
    expect(sizes[1]).toBeLessThan((sizes[0] as number) * 1.2)
    expect(sizes[1]).toBeLessThan(1_000_000)
  })
})

describe('the state of a run', () => {
  it('a run goes on while its directory is locked, and was killed where it says so without a lock', async () => {
    const path = writeRun(at('locked'), { state: 'running', steps: 50, totalSteps: 100 })
    const output = await OutputDirectory.open(path)
    expect(await readRun(path)).toMatchObject({ state: 'running', reason: undefined, step: 50, totalSteps: 100 })
    await output.close()
    expect(await readRun(path)).toMatchObject({ state: 'failed', reason: expect.stringContaining('without a word') })
    const page = await pageOf(path)
    expect(textOf(page.querySelector('[role=note]'))).toContain('it was killed, or the machine went down')
  })

  it('a run that failed tells why, one that was stopped that it was', async () => {
    const failed = writeRun(at('failed'), { state: 'failed', fail: 'the loss of step 7 is NaN' })
    expect(await readRun(failed)).toMatchObject({ state: 'failed', reason: 'the loss of step 7 is NaN' })
    const stopped = writeRun(at('stopped'), { state: 'aborted', steps: 50, totalSteps: 100 })
    expect(await readRun(stopped)).toMatchObject({ state: 'stopped' })
  })

  it('a run of a version without run.json is known by its trainer_state.json', async () => {
    const path = writeRun(at('old'), { steps: 60 })
    rmSync(join(path, 'run.json'))
    writeFileSync(join(path, 'train.yaml'), 'model: /models/x\ntraining:\n  learningRate: 0.5\n')
    expect(await readRun(path)).toMatchObject({
      state: 'failed',
      step: 60,
      options: { training: { learningRate: 0.5 } },
    })
    writeFileSync(
      join(path, 'trainer_state.json'),
      JSON.stringify({ global_step: 100, max_steps: 100, trial_name: 'old one' }),
    )
    expect(await readRun(path)).toMatchObject({ state: 'complete', name: 'old one', totalSteps: 100 })
    writeFileSync(join(path, 'trainer_state.json'), JSON.stringify({ global_step: 100, max_steps: 900 }))
    expect(await readRun(path)).toMatchObject({ state: 'stopped' })
  })
})

describe('damaged files', () => {
  it('a torn last line says nothing, wrong lines are counted, and a step that comes twice counts once', async () => {
    const path = writeRun(at('torn'), { steps: 20 })
    const log = readFileSync(join(path, 'log.jsonl'), 'utf8')
    writeFileSync(join(path, 'log.jsonl'), `garbage\n[1]\n${log}${logLine(20, 0.5)}{"type":"log","step":21,"lo`)
    const run = await readRun(path)
    expect(run.notes).toEqual(['log.jsonl has 2 lines that are no lines of a log'])
    expect(run.log.steps.map(({ step }) => step)).toEqual(Array.from({ length: 20 }, (_, step) => step + 1))
    expect(run.log.steps.at(-1)?.figures.loss).toBe(0.5)
  })

  it('files that are half there, or of others, are told of and not the end', async () => {
    const path = writeRun(at('damaged'), { steps: 20 })
    writeFileSync(join(path, 'run.json'), '{"version": 1, "runId"')
    writeFileSync(join(path, 'trainer_state.json'), '{"global')
    writeFileSync(join(path, 'train.yaml'), 'a: [')
    const run = await readRun(path)
    expect(run.notes).toEqual([
      'run.json is none that a run of this version wrote',
      expect.stringContaining('train.yaml cannot be read: '),
    ])
    expect(textsOf(readPage(renderReport({ run })), 'h2')).toEqual(['Curves', 'Warnings'])
  })

  it('losses that are no numbers are gaps', async () => {
    const path = writeRun(at('gaps'), { steps: 20, loss: (step) => (step === 7 ? Number.NaN : 2) })
    const [loss] = (await pageOf(path)).querySelectorAll('#chart-loss .curve')
    expect(loss?.getAttribute('d')?.match(/M/g)).toHaveLength(2)
  })

  it('a directory without a run is refused, and so is a checkpoint', async () => {
    mkdirSync(at('empty'))
    expect(await rejection(readRun(at('empty')))).toBe(
      `[report] expected the directory of a run, with run.json or log.jsonl in it, got ${at('empty')}; give the outputDir of a run, ` +
        'or use lowrank runs to find some',
    )
    expect(await rejection(readRun(at('nowhere')))).toContain('[report] cannot read the directory')
    const path = writeRun(at('with-checkpoint'), { steps: 60 })
    expect(await rejection(readRun(join(path, 'checkpoint-50')))).toContain('expected the directory of a run')
  })
})

describe('a comparison of runs', () => {
  beforeAll(() => {
    const lora = (r: number): Readonly<Record<string, unknown>> => ({ lora: { r, targetModules: 'all-linear' } })
    writeRun(at('all', 'a'), { options: lora(8), loss: () => 3 })
    writeRun(at('all', 'deep', 'b'), { options: lora(16), loss: () => 1, name: 'second' })
    writeRun(at('all', 'deep', 'c'), { options: lora(32), loss: () => 2, steps: 20, state: 'failed' })
    mkdirSync(at('all', '.hidden', 'd'), { recursive: true })
    writeRun(at('all', '.hidden', 'd'))
    symlinkSync(at('all'), at('all', 'circle'))
  })

  it('runs are found below a directory, without hidden folders, links and their own checkpoints', async () => {
    const runs = await findRuns(at('all'))
    expect(runs.map(({ path, state, step }) => [path, state, step])).toEqual([
      ['a', 'complete', 200],
      [join('deep', 'b'), 'complete', 200],
      [join('deep', 'c'), 'failed', 20],
    ])
    expect(runs[1]).toMatchObject({ name: 'second', seconds: 185, bestMetric: 'eval_loss', results: { loss: 1 } })
    expect((await findRuns(at('all', 'a'))).map(({ path }) => path)).toEqual(['.'])
  })

  it('only options that differ are named, and the best comes first', async () => {
    const runs = await findRuns(at('all'))
    expect(differingOptions(runs)).toEqual(['lora.r'])
    expect(differingOptions(runs.slice(0, 1))).toEqual([])
    expect(differingOptions([...runs, { ...runs[0]!, options: {} }])).toEqual(['lora.r'])
    const order = (metric: string): string[] => sortRuns(runs, metric).map(({ path }) => path.slice(-1))
    expect(order('loss')).toEqual(['b', 'c', 'a'])
    expect(order('-loss')).toEqual(['a', 'c', 'b'])
    expect(order('eval_quiz_accuracy')).toEqual(['a', 'b', 'c'])
    expect(order('eval_loss').at(-1)).toBe('c')
  })

  it.each([
    ['eval_valid_loss', 'lower'],
    ['eval_task_ece', 'lower'],
    ['eval_exam_acc', 'higher'],
    ['eval_answers_tone', 'higher'],
    ['tokensPerSecond', 'higher'],
    ['loss', 'lower'],
  ])('runs are sorted by %s, the %s first', async (name, which) => {
    const [run] = await findRuns(at('all'))
    const runs = [1, 3, 2].map((value) => ({ ...run!, results: { [name]: value } }))
    const order = sortRuns(runs, name).map(({ results }) => results[name])
    expect(order).toEqual(which === 'lower' ? [1, 2, 3] : [3, 2, 1])
  })

  it('the best is what the runs judged it by, and the way that they say', async () => {
    const [run] = await findRuns(at('all'))
    const runs = [1, 3, 2].map((best) => ({ ...run!, results: { best }, bestMetric: 'eval_answers_rougeL' }))
    const order = (given: readonly ComparedRun[]): unknown => sortRuns(given, 'best').map(({ results }) => results.best)
    expect(order(runs)).toEqual([3, 2, 1])
    const options = { 'training.greaterIsBetter': 'false' }
    expect(order(runs.map((one) => ({ ...one, options })))).toEqual([1, 2, 3])
  })

  it('a directory that is not there is an error', async () => {
    expect(await rejection(findRuns(at('nowhere')))).toContain('[runs] cannot read the directory')
  })
})

describe('a run of trainLora', () => {
  it('it leaves what its page needs, and goes on with it after a resume', async () => {
    const rows = at('rows.jsonl')
    writeFileSync(
      rows,
      tinyRows(12)
        .map((row) => JSON.stringify(row))
        .join('\n'),
    )
    const outputDir = at('trained')
    const model = await writeTinyModel(at('model'))
    const train = async (maxSteps: number, more = {}): Promise<void> => {
      const training = {
        maxSteps,
        loggingSteps: 1,
        evalSplit: 0.2,
        evalSteps: 2,
        saveSteps: 2,
        lrSchedulerType: 'constant' as const,
      }
      const run = await trainLora({ model, dataset: rows, outputDir, training, ...more })
      run.dispose()
    }
    const states: string[] = []
    const seeing = {
      name: 'seeing',
      onEvent: async ({ type }: { type: string }) => {
        if (type === 'evaluate') states.push((await readRun(outputDir)).state)
      },
    }
    await train(4, { callbacks: [seeing] })
    expect(states).toEqual(['running', 'running'])
    const run = await readRun(outputDir)
    expect(run).toMatchObject({ state: 'complete', step: 4, totalSteps: 4, notes: [], best: { metric: 'eval_loss' } })
    expect(run.log.steps).toHaveLength(4)
    expect(run.status?.data[0]).toMatchObject({ split: 'train', rows: 12, lineage: [{ location: rows }] })
    expect(run.checkpoints.map(({ step }) => step)).toEqual([2, 4])
    expect(run.options).toMatchObject({ model, training: { maxSteps: 4 } })
    await train(6, { resumeFromCheckpoint: true })
    const resumed = await readRun(outputDir)
    expect(resumed.status?.sessions.map(({ fromStep, step, state }) => [fromStep, step, state])).toEqual([
      [0, 4, 'completed'],
      [4, 6, 'completed'],
    ])
    expect(resumed.log.steps).toHaveLength(6)
    const page = at('page.html')
    await writeReport(page, { run: resumed, title: 'Trained' })
    expect(textOf(readPage(readFileSync(page, 'utf8')).querySelector('h1'))).toBe('Trained')
  })

  it('another run.json is left as it is, with a warning', async () => {
    const outputDir = at('taken')
    mkdirSync(outputDir)
    writeFileSync(join(outputDir, 'run.json'), '{"mine": true}')
    const warnings: string[] = []
    const run = await trainLora({
      model: await writeTinyModel(at('model')),
      dataset: tinyRows(4),
      outputDir,
      training: { maxSteps: 1 },
      onEvent: (event) => {
        if (event.type === 'warning') warnings.push(event.message)
      },
    })
    run.dispose()
    expect(readFileSync(join(outputDir, 'run.json'), 'utf8')).toBe('{"mine": true}')
    expect(warnings).toContain(
      `[train] ${join(outputDir, 'run.json')} was not written: another file of that name is there; give yours another name to have what ` +
        'lowrank report shows; the run goes on',
    )
  })
})
