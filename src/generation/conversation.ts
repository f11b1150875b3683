/** @file A conversation with a model: the messages so far, and answers that become part of it. */

import type { CausalLM } from '../causal-lm/causal-lm.js'
import { asTokenizer, type ForeignTokenizer } from '../tokenizer/adapt.js'
import type { ChatMessage } from '../tokenizer/chat-template.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { type GeneratedText, streamText, type TextGenerationOptions } from './generate-text.js'

/** Turns of user and assistant, after a system message if one is given. */
export class Conversation {
  readonly #model: CausalLM
  readonly #tokenizer: Tokenizer
  readonly #system: readonly ChatMessage[]
  #messages: ChatMessage[]

  /** @throws when the tokenizer has no chat template, or it refuses a system message. */
  constructor(model: CausalLM, givenTokenizer: Tokenizer | ForeignTokenizer, system?: string) {
    const tokenizer = asTokenizer(givenTokenizer)
    this.#model = model
    this.#tokenizer = tokenizer
    this.#system = system === undefined ? [] : [{ role: 'system', content: system }]
    this.#messages = [...this.#system]
    tokenizer.applyChatTemplate([...this.#system, { role: 'user', content: '' }], { addGenerationPrompt: true })
  }

  get messages(): readonly ChatMessage[] {
    return this.#messages
  }

  /** Forgets all turns. */
  reset(): void {
    this.#messages = [...this.#system]
  }

  /**
   * Answers a message of the user, piece by piece. The turn becomes part of the conversation when the answer is whole:
   * not after an error, an abort or a loop that was left.
   * @throws what `streamText` throws.
   */
  async *send(content: string, options: TextGenerationOptions = {}): AsyncGenerator<string, GeneratedText, undefined> {
    const asked: ChatMessage[] = [...this.#messages, { role: 'user', content }]
    const answer = yield* streamText(this.#model, this.#tokenizer, asked, options)
    this.#messages = [...asked, { role: 'assistant', content: answer.text }]
    return answer
  }
}
