// What node-llama-cpp makes of a GGUF file. Arguments: the folder of its package. One JSON object comes on stdin:
//   { model, adapter?, texts, prompts, maxTokens, conversations }
// and one goes to stdout: ids of `texts`; greedy answers to `prompts` (ids), each until the model ends it; the model's
// own chat template rendered for `conversations`.
import { pathToFileURL } from 'node:url'

const { getLlama, JinjaTemplateChatWrapper, LlamaLogLevel } = await import(
  pathToFileURL(`${process.argv[2]}/dist/index.js`).href
)

let input = ''
for await (const piece of process.stdin) input += piece
const { model: modelPath, adapter, texts = [], prompts = [], maxTokens = 0, conversations = [] } = JSON.parse(input)

// One thread: more would wait for each other on a machine that does other work too.
const llama = await getLlama({
  gpu: false,
  build: 'never',
  skipDownload: true,
  logLevel: LlamaLogLevel.error,
  maxThreads: 1,
})
const model = await llama.loadModel({ modelPath, gpuLayers: 0 })
const result = {
  ids: texts.map((text) => [...model.tokenize(text, true)]),
  addBos: model.tokens.shouldPrependBosToken,
  bos: model.tokens.bos,
  eos: model.tokens.eos,
  answers: [],
  rendered: [],
}

if (prompts.length > 0) {
  const context = await model.createContext({
    contextSize: 256,
    sequences: 1,
    threads: 1,
    // Its fast attention rounds to float16 on the way, which moves logits by 2e-3 whatever the file holds.
    flashAttention: false,
    experimentalKvCacheKeyType: 'F32',
    experimentalKvCacheValueType: 'F32',
    ...(adapter && { lora: { adapters: [{ filePath: adapter, scale: 1 }] } }),
  })
  const sequence = context.getSequence()
  for (const prompt of prompts) {
    await sequence.clearHistory()
    const ids = []
    let ended = false
    if (maxTokens > 0) {
      ended = true
      for await (const token of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
        ids.push(token)
        if (model.isEogToken(token)) break
        if (ids.length < maxTokens) continue
        ended = false
        break
      }
    }
    result.answers.push({ ids, ended })
  }
}

const template = model.fileInfo.metadata?.tokenizer?.chat_template
if (template !== undefined) {
  for (const messages of conversations) {
    const wrapper = new JinjaTemplateChatWrapper({ template, tokenizer: model.tokenizer })
    const history = messages.map(({ role, content }) =>
      role === 'assistant' ? { type: 'model', response: [content] } : { type: role, text: content },
    )
    const { contextText } = wrapper.generateContextState({ chatHistory: [...history, { type: 'model', response: [] }] })
    result.rendered.push([...contextText.tokenize(model.tokenizer)])
  }
}
await new Promise((resolve) => process.stdout.write(JSON.stringify(result), resolve))
process.exit(0)
