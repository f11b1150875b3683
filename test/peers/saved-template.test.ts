/** @file Tokenizer and chat template that lowrank saves with an adapter, loaded by AutoTokenizer of transformers. */

import { join } from 'node:path'
import { expect, it } from 'vitest'
import { loadTokenizer } from '../../src/tokenizer/tokenizer.js'
import { trainLora } from '../../src/train/train-lora.js'
import { temporaryDirectory, writeTinyModel } from '../support/tiny-model.js'
import { describeWithPython, runPython } from './python.js'

const SCRIPT = `
import json, sys
from transformers import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
messages = json.load(sys.stdin)
text = tokenizer.apply_chat_template(messages, tokenize=False)
print(json.dumps({"text": text, "ids": tokenizer(text, add_special_tokens=False)["input_ids"]}))
`

describeWithPython('an adapter that was trained with a named template', () => {
  it('is a tokenizer with that template to transformers', async () => {
    const folder = temporaryDirectory()
    const model = await writeTinyModel(join(folder, 'model'))
    const messages = [
      { role: 'user', content: 'What is the capital?' },
      { role: 'assistant', content: 'Paris' },
    ]
    const training = { maxSteps: 1, chatTemplate: 'chatml' }
    const run = await trainLora({ model, dataset: [{ messages }], device: 'cpu', training })
    await run.adapter?.save(join(folder, 'adapter'))
    run.dispose()
    const { code, stdout, stderr } = await runPython(['-c', SCRIPT, join(folder, 'adapter')], JSON.stringify(messages))
    expect(code, stderr).toBe(0)
    const tokenizer = await loadTokenizer(join(folder, 'adapter'))
    const text = tokenizer.applyChatTemplate(messages)
    expect(JSON.parse(stdout)).toEqual({ text, ids: [...tokenizer.encode(text, { addSpecialTokens: false })] })
    expect(text).toContain('<|im_start|>assistant\nParis<|im_end|>')
  })
})
