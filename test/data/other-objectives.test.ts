/**
 * @file Rows of other objectives, as TRL, OpenAI, Axolotl and LLaMA-Factory have them: shown with their objective, and
 * refused by supervised fine-tuning, which names it.
 */

import { expect, it } from 'vitest'
import { prepareDataset } from '../../src/data/dataset.js'
import { type InspectedRow, inspectDataset } from '../../src/data/inspect.js'
import { createTokenizer } from '../../src/tokenizer/tokenizer.js'
import { CHATML } from '../support/chat-templates.js'
import { tinyByteLevelTokenizer } from '../support/tiny-tokenizer.js'

const user = (content: string) => ({ role: 'user', content })
const assistant = (content: string) => ({ role: 'assistant', content })
const files = tinyByteLevelTokenizer({ chatTemplate: CHATML, eosToken: '<|im_end|>' })
const tokenizer = createTokenizer(files.tokenizer, files.config)

const DPO = ['DPO', ['chosen', 'rejected']] as const
const KTO = ['KTO', ['good']] as const

it.each<[string, object, readonly [objective: string, sequences: readonly (string | undefined)[]]]>([
  ["TRL's pair of texts", { prompt: 'one', chosen: 'two', rejected: 'three' }, DPO],
  ["TRL's pair of messages", { prompt: [user('one')], chosen: [assistant('two')], rejected: [assistant('six')] }, DPO],
  [
    "TRL's pair with the prompt in it",
    { chosen: [user('one'), assistant('two')], rejected: [user('one'), assistant('six')] },
    DPO,
  ],
  ["TRL's labelled completion", { prompt: 'one', completion: 'two', label: true }, KTO],
  [
    "TRL's labelled steps",
    { prompt: 'one', completions: ['two', 'three'], labels: [true, false] },
    ['a process reward model', [undefined]],
  ],
  ["TRL's prompt alone", { prompt: [user('one')] }, ['GRPO', [undefined]]],
  [
    "OpenAI's preference",
    {
      input: { messages: [user('one')] },
      preferred_output: [assistant('two')],
      non_preferred_output: [assistant('three')],
    },
    DPO,
  ],
  [
    "Axolotl's chatml.argilla",
    { system: 'hello', instruction: 'one', chosen_response: 'two', rejected_response: 'three' },
    DPO,
  ],
  ["Axolotl's chatml.intel", { system: 'hello', question: 'one', chosen: 'two', rejected: 'three' }, DPO],
  ["Axolotl's chatml.icr", { system: 'hello', input: 'one', chosen: 'two', rejected: 'three' }, DPO],
  ["LLaMA-Factory's Alpaca ranking", { instruction: 'one', input: 'two', chosen: 'three', rejected: 'four' }, DPO],
  [
    "LLaMA-Factory's ShareGPT ranking",
    {
      conversations: [{ from: 'human', value: 'one' }],
      chosen: { from: 'gpt', value: 'two' },
      rejected: { from: 'gpt', value: 'three' },
    },
    DPO,
  ],
  ["LLaMA-Factory's Alpaca KTO", { instruction: 'one', input: '', output: 'two', kto_tag: true }, KTO],
  ["LLaMA-Factory's KTO", { messages: [user('one'), assistant('two')], kto_tag: true }, KTO],
])('shows a row of %s, and refuses it for supervised fine-tuning', async (_, row, [objective, sequences]) => {
  const shown: InspectedRow[] = []
  for await (const inspected of inspectDataset([row], tokenizer)) shown.push(inspected)
  expect(shown.map((inspected) => [inspected.objective, inspected.sequences.map(({ name }) => name)])).toEqual([
    [objective, sequences],
  ])
  for (const { inputIds } of shown[0]?.sequences ?? []) expect(inputIds.length).toBeGreaterThan(0)
  const refused = prepareDataset([row], tokenizer)
  await expect(refused).rejects.toThrow(new RegExp(`^\\[sft\\] expected .* in row 1, which are for ${objective}; `))
})
