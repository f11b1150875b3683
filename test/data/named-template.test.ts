/** @file The option chatTemplate with the name of a format. */

import { expect, it } from 'vitest'
import { prepareDataset } from '../../src/data/dataset.js'
import { resolveDataOptions } from '../../src/data/options.js'
import { createTokenizer } from '../../src/tokenizer/tokenizer.js'
import { tinyByteLevelTokenizer } from '../support/tiny-tokenizer.js'

it('chatTemplate may be the name of a format, for a tokenizer without a template', async () => {
  const { tokenizer: files, config } = tinyByteLevelTokenizer()
  const tokenizer = createTokenizer(files, config)
  const rows = [{ question: 'one', answer: 'two' }]
  await expect(prepareDataset(rows, tokenizer)).rejects.toThrow('[chat template] expected a chat template')
  const text = async (chatTemplate: string): Promise<string> => {
    const { examples } = await prepareDataset(rows, tokenizer, { chatTemplate })
    return tokenizer.decode([...(examples[0]?.inputIds ?? [])])
  }
  expect(await text('chatml')).toBe('<|im_start|>user\none<|im_end|>\n<|im_start|>assistant\ntwo<|im_end|>\n')
  expect(await text('role-tags')).toBe('<|user|>\none\n<|assistant|>\ntwo</s>\n')
  expect(() => resolveDataOptions({ chatTemplate: 'chat-ml' })).toThrow(
    'zephyr, role-tags, for chatTemplate, got "chat-ml"; did you mean chatml?',
  )
})
