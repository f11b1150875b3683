/** @file The page at `/` for trying a model: one document that loads nothing, and asks its own server alone. */

const STYLE = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; --line: #8886; --mine: #3b82f622 }
* { box-sizing: border-box }
body { margin: 0; height: 100dvh; display: flex; flex-direction: column; max-width: 52rem; margin-inline: auto; padding: 0 1rem }
header, form { display: flex; gap: .5rem; padding: .75rem 0; align-items: center; flex-wrap: wrap }
h1 { font-size: 1rem; margin: 0; margin-right: auto }
select, input, textarea, button { font: inherit; padding: .4rem .6rem; border: 1px solid var(--line); border-radius: .4rem; background: transparent; color: inherit }
input { width: 9rem; -webkit-text-security: disc }
main { flex: 1; overflow-y: auto; border-block: 1px solid var(--line); padding: .75rem 0 }
article { white-space: pre-wrap; overflow-wrap: anywhere; padding: .5rem .75rem; margin: .5rem 0; border-radius: .5rem }
article.user { background: var(--mine); margin-left: 15% }
article.error { color: #dc2626 }
textarea { flex: 1; min-width: 12rem; resize: none }
p { margin: .25rem 0; font-size: .8rem; opacity: .7 }
`

const SCRIPT = `
'use strict'
const byId = (id) => document.getElementById(id)
const [log, text, model, key, send, status] = ['log', 'text', 'model', 'key', 'send', 'status'].map(byId)
let messages = []
let running
const headers = () => ({ 'content-type': 'application/json', ...(key.value && { authorization: 'Bearer ' + key.value }) })
const show = (role, content) => {
  const article = document.createElement('article')
  article.className = role
  article.textContent = content
  follow(() => log.append(article))
  return article
}
// Who has scrolled up to read stays there.
const follow = (change) => {
  const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40
  change()
  if (isAtEnd) log.scrollTop = log.scrollHeight
}
const failed = async (response) => {
  const body = await response.json().catch(() => undefined)
  return new Error(body?.error?.message ?? 'The server answered ' + response.status)
}
async function listModels() {
  const response = await fetch('v1/models', { headers: headers() })
  key.hidden = response.status !== 401 && key.value === ''
  if (!response.ok) throw await failed(response)
  const chosen = model.value
  model.replaceChildren(...(await response.json()).data.map(({ id }) => new Option(id, id, false, id === chosen)))
  status.textContent = ''
}
async function* pieces(response) {
  const decoder = new TextDecoder()
  let rest = ''
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read()
    if (done) return
    rest += decoder.decode(value, { stream: true })
    const events = rest.split('\\n\\n')
    rest = events.pop()
    for (const event of events) {
      const data = event.replace(/^data: /, '')
      if (data === '[DONE]') return
      const { choices, error, usage } = JSON.parse(data)
      if (error) throw new Error(error.message)
      yield { content: choices[0]?.delta.content ?? '', usage }
    }
  }
}
async function ask(content) {
  const turn = messages
  turn.push({ role: 'user', content })
  show('user', content)
  const article = show('assistant', '')
  running = new AbortController()
  send.textContent = 'Stop'
  const began = performance.now()
  try {
    const body = JSON.stringify({ model: model.value, messages: turn, stream: true, stream_options: { include_usage: true } })
    const response = await fetch('v1/chat/completions', { method: 'POST', headers: headers(), body, signal: running.signal })
    if (!response.ok) throw await failed(response)
    for await (const { content, usage } of pieces(response)) {
      follow(() => { article.textContent += content })
      if (usage) {
        const seconds = (performance.now() - began) / 1000
        status.textContent = usage.prompt_tokens + ' + ' + usage.completion_tokens + ' tokens, ' +
          (usage.completion_tokens / seconds).toFixed(1) + ' tokens/s'
      }
    }
    turn.push({ role: 'assistant', content: article.textContent })
  } catch (error) {
    // What was said before it was stopped stays in the conversation; a turn without an answer can be asked again.
    const isStopped = error.name === 'AbortError'
    if (isStopped && article.textContent !== '') turn.push({ role: 'assistant', content: article.textContent })
    else {
      turn.pop()
      article.remove()
      if (turn === messages) text.value ||= content
    }
    if (turn === messages) isStopped ? (status.textContent = 'Stopped.') : show('error', error.message)
  } finally {
    running = undefined
    send.textContent = 'Send'
  }
}
byId('form').addEventListener('submit', (event) => {
  event.preventDefault()
  if (running) return running.abort()
  const content = text.value.trim()
  if (content === '') return
  text.value = ''
  void ask(content)
})
text.addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
  event.preventDefault()
  if (!running) byId('form').requestSubmit()
})
byId('reset').addEventListener('click', () => {
  running?.abort()
  messages = []
  log.replaceChildren()
  status.textContent = ''
})
const list = () => listModels().catch((error) => { status.textContent = error.message })
key.addEventListener('change', list)
void list()
`

/** The same for every server: it asks for the models. */
export const PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>lowrank</title>
<style>${STYLE}</style>
<header><h1>lowrank</h1>
<input id="key" placeholder="API key" aria-label="API key" autocomplete="off" hidden>
<select id="model" aria-label="Model"></select>
<button id="reset" type="button">New</button></header>
<main id="log" aria-live="polite"></main>
<form id="form"><textarea id="text" rows="2" placeholder="Write a message" aria-label="Message" autofocus></textarea>
<button id="send">Send</button></form>
<p id="status" role="status"></p>
<script>${SCRIPT}</script>
</html>
`

/** What the page may do: its own scripts and styles, and requests to its own server. */
export const PAGE_HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy':
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; img-src data:; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
} as const
