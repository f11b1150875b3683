/**
 * @file What a run asks its model at each evaluation, beside held-out rows: tasks, which give scores, and sample
 * prompts, whose answers people read. Asking changes nothing of what is trained.
 */

import type { CausalLM } from '../causal-lm/causal-lm.js'
import { prepareTasks, readTasks, runTasks } from '../evaluate/run-tasks.js'
import type { PreparedTask } from '../evaluate/task.js'
import type { EvaluationTask } from '../evaluate/task-options.js'
import { generateTexts } from '../generation/generate-texts.js'
import { encodePromptInSteps } from '../generation/prompt-ids.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { withChatTemplate } from '../tokenizer/with-template.js'
import { runAtOnce } from '../turns.js'
import type { EvalMetrics } from './best-model.js'
import type { SampledAnswer } from './events.js'
import type { ResolvedTrainOptions } from './options.js'
import type { SamplePrompt } from './probe-options.js'
import type { EvaluatedPart } from './trainer-state.js'

/** Tokens of an answer to a sample prompt where nothing is said of them. */
export const SAMPLE_TOKENS = 64
/** Tokens of an answer of a task where nothing is said of them, as `generateText` has it. */
export const TASK_TOKENS = 128
/** What stands round a prompt as the model gets it, beside the text that a report shows. */
const FRAME_TOKENS = 32

/** What the longest answer takes, for memory plans. */
export interface AnswerSizes {
  readonly batchSize: number
  readonly promptTokens: number
  readonly maxNewTokens: number
}

export class Probes {
  readonly #model: CausalLM
  readonly #tokenizer: Tokenizer
  readonly #options: ResolvedTrainOptions
  readonly #tasks: readonly PreparedTask[]
  /** The sample prompts as tokens. */
  readonly #promptIds: readonly (readonly number[])[]

  private constructor(
    model: CausalLM,
    tokenizer: Tokenizer,
    options: ResolvedTrainOptions,
    tasks: readonly PreparedTask[],
    promptIds: readonly (readonly number[])[],
  ) {
    this.#model = model
    this.#tokenizer = tokenizer
    this.#options = options
    this.#tasks = tasks
    this.#promptIds = promptIds
  }

  /** Reads the rows of the tasks. @throws where they cannot be read, or a prompt cannot be encoded */
  static async prepare(model: CausalLM, ownTokenizer: Tokenizer, options: ResolvedTrainOptions): Promise<Probes> {
    const { evalTasks = [], samplePrompts = [], signal, training } = options
    // Rows of training, rows of tasks and prompts are written by one template.
    const tokenizer = withChatTemplate(ownTokenizer, training.chatTemplate)
    const tasks = evalTasks.length === 0 ? [] : await prepareTasks(model, tokenizer, evalTasks, { signal })
    const { chatTemplateKwargs: variables } = training
    const prompts = samplePrompts.map((prompt) => runAtOnce(encodePromptInSteps(tokenizer, prompt, { variables })))
    return new Probes(model, tokenizer, options, tasks, prompts)
  }

  /** Rows of all tasks, and sample prompts. */
  get count(): number {
    return this.#tasks.reduce((sum, { rows }) => sum + rows.length, 0) + this.#prompts.length
  }

  /** What answers take at most; undefined where nothing is generated. */
  get sizes(): AnswerSizes | undefined {
    const { evalTasks = [], sampleGeneration, training } = this.#options
    const prompts = this.#promptIds.map(({ length }) => length)
    const sizes = prompts.length === 0 ? [] : [[Math.max(...prompts), sampleGeneration?.maxNewTokens ?? SAMPLE_TOKENS]]
    for (const [index, { rows }] of this.#tasks.entries()) {
      const task = evalTasks[index]
      const longest = Math.max(0, ...rows.map(({ prompt }) => this.#tokenizer.encode(prompt).length))
      const maxNewTokens = task?.type === 'generation' ? (task.generation?.maxNewTokens ?? TASK_TOKENS) : 1
      sizes.push([longest + FRAME_TOKENS, maxNewTokens])
    }
    if (sizes.length === 0) return undefined
    const [promptTokens = 1, maxNewTokens = 1] = sizes.reduce((a, b) => (sumOf(a) >= sumOf(b) ? a : b))
    const most = this.#model.config.maxPositionEmbeddings - maxNewTokens
    return {
      batchSize: training.perDeviceEvalBatchSize,
      promptTokens: Math.max(1, Math.min(promptTokens, most)),
      maxNewTokens,
    }
  }

  /** Scores the model on each task. @param onProgress Told the rows that are done of all tasks. */
  async score(onProgress: (rows: number) => void): Promise<EvaluatedPart[]> {
    if (this.#tasks.length === 0) return []
    const { training, signal } = this.#options
    const reports = await runTasks(this.#model, this.#tokenizer, this.#tasks, {
      batchSize: training.perDeviceEvalBatchSize,
      maxSamples: 0,
      ...(signal && { signal }),
      onProgress: ({ task, rows, judge }) => {
        // The rows of a run are those that the model scores. While a judge is asked all of a task are there.
        const there = judge ? (this.#tasks.find(({ name }) => name === task)?.rows.length ?? 0) : rows
        onProgress(this.#rowsBefore(task) + there)
      },
    })
    return reports.map(({ name, metrics, rowCount, seconds }) => ({
      metrics: Object.fromEntries(
        metrics.map((metric) => [`eval_${name}_${metric.name}`, Object.values(metric.scores)[0]?.value ?? null]),
      ) satisfies EvalMetrics,
      prefix: `eval_${name}`,
      rows: rowCount,
      seconds,
    }))
  }

  /** Answers the sample prompts, each time with the same random numbers. */
  async sample(): Promise<SampledAnswer[]> {
    const prompts = this.#prompts
    if (prompts.length === 0) return []
    const { sampleGeneration = {}, training, signal } = this.#options
    const wasTraining = this.#model.training
    this.#model.eval()
    try {
      const answers = await generateTexts(this.#model, this.#tokenizer, this.#promptIds, {
        maxNewTokens: SAMPLE_TOKENS,
        ...sampleGeneration,
        batchSize: training.perDeviceEvalBatchSize,
        ...(signal && { signal }),
      })
      return answers.map(({ text, finishReason }, index) => ({
        prompt: shown(prompts[index] as SamplePrompt),
        text,
        finishReason,
      }))
    } finally {
      this.#model.train(wasTraining)
    }
  }

  get #prompts(): readonly SamplePrompt[] {
    return this.#options.samplePrompts ?? []
  }

  #rowsBefore(task: string): number {
    const at = this.#tasks.findIndex(({ name }) => name === task)
    return this.#tasks.slice(0, at).reduce((sum, { rows }) => sum + rows.length, 0)
  }
}

/** Names and directions of the tasks, known before a row is read. @throws OptionError for what is no task */
export function readEvalTasks(tasks: readonly EvaluationTask[] | undefined): {
  readonly names: readonly string[]
  readonly lowerIsBetter: readonly string[]
} {
  if (tasks === undefined || tasks.length === 0) return { names: [], lowerIsBetter: [] }
  const read = readTasks(tasks)
  return {
    names: read.map(({ name }) => name),
    lowerIsBetter: read.flatMap(({ name, task }) =>
      task.type === 'generation' ? task.lowerIsBetter.map((metric) => `eval_${name}_${metric}`) : [],
    ),
  }
}

/** A prompt as people read it. */
function shown(prompt: SamplePrompt): string {
  if (typeof prompt === 'string') return prompt
  return prompt
    .map(({ role, content }) => `${role}: ${typeof content === 'string' ? content : JSON.stringify(content)}`)
    .join('\n')
}

function sumOf(sizes: readonly number[]): number {
  return sizes.reduce((sum, size) => sum + size, 0)
}
