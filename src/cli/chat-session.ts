/** @file The conversation of `lowrank chat`: reading messages and commands, showing answers, switching adapters. */

import { basename, dirname, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { disableAdapters, enableAdapters, loadAdapter, setAdapter } from '../adapters/named-adapters.js'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import { beginLoading } from '../checkpoint/load-model.js'
import { Conversation } from '../generation/conversation.js'
import type { GeneratedText, TextGenerationOptions } from '../generation/generate-text.js'
import { formatCount, type Paint, paintFor } from '../progress/terminal.js'
import { loadTokenizer } from '../tokenizer/tokenizer.js'
import { showAnswer } from './answer.js'
import type { ChatOptions } from './chat.js'
import { localAdapters } from './local-adapters.js'
import { locateModel, tokenizerPlace } from './locate-model.js'
import { showModelWarnings, showWarnings } from './show-warnings.js'
import { endAtOnce, guardSignals } from './signal-guard.js'
import { inputLines } from './standard-input.js'

/** What /adapter takes for the model as it is. */
const NO_ADAPTER = 'none'

const HELP = `/reset            forget the conversation
/adapter [NAME]   use the adapter NAME, or none of them; without NAME: list them
/help             this
/exit             end (or Ctrl-D); Ctrl-C ends an answer`

/** Talks until the input ends. */
export async function chat(options: ChatOptions): Promise<void> {
  const {
    sampling,
    quantization,
    dtype,
    device,
    adapter: named,
    system,
    json,
    temperature,
    topK,
    topP,
    minP,
    ...place
  } = options
  const adapter = await localAdapters(named, json)
  const location = await locateModel('chat', { ...place, json, adapters: adapter })
  const tokenizer = await loadTokenizer(await tokenizerPlace(location, ...adapter))
  const model = await beginLoading(location, { quantization, dtype, device })
  showModelWarnings(model)
  const names = adapterNames(named)
  for (const [index, directory] of adapter.entries()) showWarnings(await loadAdapter(model, directory, names[index]))
  const asked = temperature ?? topK ?? topP ?? minP
  const doSample = asked !== undefined || model.generationDefaults?.doSample === true
  const conversation = new Conversation(model, tokenizer, system)
  const switching = new AdapterSwitch(model, names)
  await new Chat(conversation, switching, { doSample, ...sampling }, json === true).run()
}

/**
 * Names of adapters, by which they are switched: the last part of the path, or the one before an `adapter` that
 * `lowrank train` wrote.
 */
function adapterNames(directories: readonly string[]): string[] {
  const names: string[] = []
  for (const directory of directories) {
    const path = resolve(directory)
    const name = basename(path) === 'adapter' ? basename(dirname(path)) : basename(path)
    let free = name
    for (let number = 2; names.includes(free) || free === NO_ADAPTER; number++) free = `${name}_${number}`
    names.push(free)
  }
  return names
}

/** What /adapter does: at most one of the loaded adapters is in use. */
class AdapterSwitch {
  readonly #model: CausalLM
  readonly #names: readonly string[]
  #current: string

  constructor(model: CausalLM, names: readonly string[]) {
    this.#model = model
    this.#names = names
    this.#current = names[0] ?? NO_ADAPTER
  }

  /** Switches to `name`, if one is given. Returns what there is to say. */
  use(name: string | undefined): string {
    if (name !== undefined && name !== NO_ADAPTER && !this.#names.includes(name))
      return `There is no adapter ${name}.\n${this.#list()}`
    if (name === NO_ADAPTER) disableAdapters(this.#model)
    else if (name !== undefined) {
      setAdapter(this.#model, name)
      enableAdapters(this.#model)
    }
    this.#current = name ?? this.#current
    return this.#list()
  }

  #list(): string {
    const mark = (name: string): string => `${name === this.#current ? '*' : ' '} ${name}`
    const hint = this.#names.length === 0 ? ' (lowrank chat --adapter DIR loads one)' : ''
    return [...this.#names.map(mark), `${mark(NO_ADAPTER)}${hint}`].join('\n')
  }
}

class Chat {
  readonly #conversation: Conversation
  readonly #adapters: AdapterSwitch
  readonly #sampling: TextGenerationOptions
  readonly #json: boolean
  readonly #interactive = process.stdin.isTTY === true && process.stdout.isTTY === true
  readonly #paint: Paint = paintFor(process.stdout)

  constructor(conversation: Conversation, adapters: AdapterSwitch, sampling: TextGenerationOptions, json: boolean) {
    this.#conversation = conversation
    this.#adapters = adapters
    this.#sampling = sampling
    this.#json = json
  }

  /** Reads until the input ends or says so. */
  async run(): Promise<void> {
    const prompt = this.#paint('cyan', '> ')
    const output = this.#interactive && !this.#json ? process.stdout : undefined
    // Before the terminal is in raw mode: as it is now it is left.
    if (this.#interactive) endAtOnce()
    const lines = output && createInterface({ input: process.stdin, output, terminal: true, prompt })
    lines?.on('SIGINT', () => lines.close())
    output?.write(`${this.#paint('dim', '/help says what else there is; Ctrl-D ends.')}\n`)
    lines?.prompt()
    let isOpen = true
    lines?.once('close', () => {
      isOpen = false
    })
    for await (const line of lines ?? inputLines('chat')) {
      const text = line.trim()
      if (text === '/exit') break
      if (text.startsWith('/')) this.#command(text)
      else if (text !== '') {
        await this.#answer(line, output !== undefined && isOpen)
        if (output && isOpen) process.stdin.setRawMode(true)
      }
      if (isOpen) lines?.prompt()
    }
    lines?.close()
    output?.write('\n')
  }

  #command(text: string): void {
    const [, name, argument] = /^(\S+)\s*(.*)$/s.exec(text) as unknown as [string, string, string]
    switch (name) {
      case '/adapter':
        this.#say(this.#adapters.use(argument === '' ? undefined : argument))
        break
      case '/reset':
        this.#conversation.reset()
        this.#say('The conversation starts anew.')
        break
      case '/help':
        this.#say(HELP)
        break
      default:
        this.#say(`There is no ${name}.\n${HELP}`)
    }
  }

  /**
   * An answer is no time of raw mode: there Ctrl-C would be a key, which JavaScript reads when it comes to it. The
   * first one ends the answer once that is on its way; before (a template is rendered), and as the second one, it ends
   * the process whatever JavaScript is doing, also where that has not seen the first one yet.
   */
  async #answer(content: string, isTerminal: boolean): Promise<void> {
    const started = performance.now()
    const controller = new AbortController()
    const { signal } = controller
    let isGuarded = false
    const stop = (): void => {
      // Without a guard the system ends the process with the next one.
      if (!isGuarded) process.off('SIGINT', stop)
      controller.abort()
    }
    if (isTerminal) process.stdin.setRawMode(false)
    try {
      const pieces = this.#conversation.send(content, { ...this.#sampling, signal })
      const shown = showAnswer(pieces, this.#json)
      if (isTerminal) {
        process.on('SIGINT', stop)
        isGuarded = guardSignals({ SIGINT: 'ends as second', SIGTERM: 'ends' })
      }
      const answer = await shown
      this.#report(answer, (performance.now() - started) / 1000)
    } catch (error) {
      if (!signal.aborted) throw error
      if (!this.#json) process.stdout.write(`\n${this.#paint('dim', 'Stopped; this turn is forgotten.')}\n`)
    } finally {
      process.off('SIGINT', stop)
      if (isTerminal) endAtOnce()
    }
  }

  #report({ text, ids, promptTokens, finishReason }: GeneratedText, seconds: number): void {
    if (this.#json) {
      const figures = { promptTokens, newTokens: ids.length, finishReason, tokensPerSecond: ids.length / seconds }
      process.stdout.write(`${JSON.stringify({ role: 'assistant', content: text, ...figures })}\n`)
      return
    }
    if (!this.#interactive) return
    const end = finishReason === 'length' ? ', cut at --max-new-tokens' : ''
    const rate = (ids.length / seconds).toFixed(1)
    process.stdout.write(
      `${this.#paint('dim', `${formatCount(promptTokens)} + ${formatCount(ids.length)} tokens, ${rate} tokens/s${end}`)}\n`,
    )
  }

  /** What is not an answer goes to stderr where stdout holds answers alone. */
  #say(text: string): void {
    const stream = this.#interactive && !this.#json ? process.stdout : process.stderr
    stream.write(`${this.#paint('dim', text)}\n`)
  }
}
