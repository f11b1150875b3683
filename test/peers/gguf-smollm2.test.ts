/** @file SmolLM2-135M-Instruct as a GGUF file in llama.cpp: the same ids, texts and ends of answers as here. */

import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { loadModel } from '../../src/checkpoint/load-model.js'
import { writeGgufModel } from '../../src/export/gguf-model.js'
import { Device } from '../../src/tensor/device.js'
import { loadTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js'
import { isLong } from '../support/long.js'
import { SMOLLM2 } from '../support/real-model.js'
import { temporaryDirectory } from '../support/tiny-model.js'
import { CONVERSATIONS, lines, MOST_TIES, PROMPTS, partings, questions, sentences, TIE } from './gguf-answers.js'
import { describeWithLlamaCpp, runLlamaCpp } from './llama-cpp.js'

/** A digit since Unicode 16, which llama.cpp's tables do not have yet. */
const NEW_DIGIT = '\u{1ccf0}'
/** Bytes that the vocabulary has no token for. */
const NO_TOKEN = ['\u0004', '\u0006', '\u0013', '\u0014', '\u0016', '\u001d']
// 135 M parameters, and another program, on a machine that may do other work.
const SLOW_MS = 600_000

const folder = temporaryDirectory()

describeWithLlamaCpp('a GGUF file in llama.cpp', { timeout: SLOW_MS }, () => {
  describe.skipIf(SMOLLM2 === undefined)('SmolLM2-135M-Instruct', () => {
    let device: Device
    let source: CausalLM
    let tokenizer: Tokenizer
    beforeAll(async () => {
      device = Device.open()
      source = await loadModel(SMOLLM2 as string, { device, dtype: 'float32' })
      tokenizer = await loadTokenizer(SMOLLM2 as string)
    })
    afterAll(() => device?.close())

    const plain = { addSpecialTokens: false }
    const rendered = (messages: readonly { role: string; content: string }[]): number[] =>
      tokenizer.encode(tokenizer.applyChatTemplate(messages, { addGenerationPrompt: true }), plain)

    it('stops in Q8_0, and gives the ids of lines and conversations and the first tokens of answers', async () => {
      const path = join(folder, 'q8_0.gguf')
      await writeGgufModel(source, path, { type: 'Q8_0' })
      const texts = lines().map((line) =>
        [...line].filter((character) => ![NEW_DIGIT, ...NO_TOKEN].includes(character)).join(''),
      )
      const asked = questions().map((content) => rendered([{ role: 'user', content }]))
      const output = await runLlamaCpp({
        model: path,
        texts,
        prompts: asked,
        maxTokens: 1,
        conversations: CONVERSATIONS,
      })
      const different = texts.filter((line, i) => tokenizer.encode(line, plain).join() !== output.ids[i]?.join())
      expect(different).toEqual([])
      expect(output.rendered).toEqual(CONVERSATIONS.map(rendered))
      const ours = await source.generate(asked, { maxNewTokens: 1, doSample: false })
      const same = output.answers.filter(({ ids }, i) => ids[0] === ours[i]?.[0]).length
      expect(same).toBeGreaterThanOrEqual(0.98 * PROMPTS)

      const question = rendered([{ role: 'user', content: 'Answer with one word: what is the capital of France?' }])
      const [answer] = (await runLlamaCpp({ model: path, prompts: [question], maxTokens: 40 })).answers
      expect(answer?.ended).toBe(true)
      expect(tokenizer.decode(answer?.ids ?? [])).toContain('Paris')
    })

    it('cuts what llama.cpp cuts otherwise as tokenizers 0.23.3 does', async () => {
      const path = join(folder, 'f16.gguf')
      await writeGgufModel(source, path, { type: 'F16' })
      const texts = [`  ${NEW_DIGIT}`, ` ${NO_TOKEN[0]}'`]
      expect(texts.map((text) => tokenizer.encode(text, plain))).toEqual([[256, 187, 246, 128, 125], [637]])
      // There a byte without a token goes after merging, and keeps its neighbours apart.
      const { ids } = await runLlamaCpp({ model: path, texts })
      expect(ids).toEqual([
        [216, 216, 187, 246, 128, 125],
        [216, 23],
      ])
    })

    if (isLong) {
      it('gives the ids of greedy answers in F16', async () => {
        const path = join(folder, 'f16.gguf')
        await writeGgufModel(source, path, { type: 'F16' })
        const asked = sentences().map((text) => tokenizer.encode(text).slice(0, 12))
        const { answers } = await runLlamaCpp({ model: path, prompts: asked, maxTokens: 3 })
        const written = await loadModel(path, { device, dtype: 'float32' })
        const ours = await written.generate(asked, { maxNewTokens: 3, doSample: false })
        const theirs = answers.map(({ ids }) => ids)
        const shares = await partings(written, asked, ours, theirs)
        written.dispose()
        expect(shares.filter((share) => share >= TIE)).toEqual([])
        expect(shares.length).toBeLessThanOrEqual(MOST_TIES)
      })
    }
  })
})
