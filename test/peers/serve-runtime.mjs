/** @file A program for Node, Deno and Bun: serves the model that the package ships, asks it, and prints the answers. */

import { createInferenceEngine, createServeHandler, loadModel, loadTokenizer, serve } from '../../dist/index.js'

const directory = process.argv[2]
const model = await loadModel(directory)
const tokenizer = await loadTokenizer(directory)
const engine = await createInferenceEngine(model, { kvCacheMemory: 50_000_000 })
const handler = createServeHandler(model, tokenizer, { engine, modelName: 'mine' })

/** Listens by the runtime's own server. */
async function listen() {
  const { Deno, Bun } = globalThis
  if (Deno) {
    const server = Deno.serve({ port: 0, hostname: '127.0.0.1', onListen: () => undefined }, handler.fetch)
    return { port: server.addr.port, stop: () => server.shutdown() }
  }
  if (Bun) {
    const server = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: handler.fetch })
    return { port: server.port, stop: () => server.stop() }
  }
  const server = await serve(handler, { port: 0 })
  return { port: server.port, stop: () => server.close() }
}

const { port, stop } = await listen()
const ask = async (path, body) => {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  return { status: response.status, text: await response.text() }
}

const asked = { model: 'mine', prompt: 'Once upon a time', max_tokens: 12, temperature: 1, seed: 5 }
const whole = JSON.parse((await ask('/v1/completions', asked)).text)
const { text: events } = await ask('/v1/completions', { ...asked, stream: true })
const pieces = events.split('\n\n').flatMap((event) => (event.startsWith('data: {') ? JSON.parse(event.slice(6)) : []))
const wrong = await ask('/v1/completions', { ...asked, best_of: 2 })
console.log(
  JSON.stringify({
    whole: whole.choices[0].text,
    streamed: pieces.map(({ choices }) => choices[0].text).join(''),
    pieces: pieces.length,
    ended: events.endsWith('data: [DONE]\n\n'),
    wrong: wrong.status,
  }),
)
await stop()
await handler.close()
model.dispose()
