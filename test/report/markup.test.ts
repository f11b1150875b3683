/** @file No text becomes markup, and no character is lost that a page can hold. */

import { parseHTML } from 'linkedom'
import { describe, expect, it } from 'vitest'
import { escapeHtml, html, inline, trusted } from '../../src/report/markup.js'
import { AWKWARD, HOSTILE } from './evaluations.js'

describe('html', () => {
  it('values are escaped wherever they stand, and markup stays', () => {
    const name = `<b>&"'\``
    expect(html`<p title="${name}">${name}${html`<i>${1}</i>`}${['<', 2, undefined, false]}</p>`.markup).toBe(
      '<p title="&lt;b&gt;&amp;&quot;&#39;&#96;">&lt;b&gt;&amp;&quot;&#39;&#96;<i>1</i>&lt;2</p>',
    )
    expect(html`${trusted('<br>')}${inline('<')}`.markup).toBe('<br><bdi>&lt;</bdi>')
  })

  it.each([...HOSTILE, ...AWKWARD])('%j is read back as it was, in an element and in an attribute', (text) => {
    const { document } = parseHTML(html`<body><p title="${text}">${text}</p></body>`.markup)
    const elements = [...document.querySelectorAll('body *')]
    expect(elements.map(({ tagName }) => tagName)).toEqual(['P'])
    expect([...(elements[0]?.attributes ?? [])].map(({ name }: { name: string }) => name)).toEqual(['title'])
    const expected = text
      .replace(/\r\n?/g, '\n')
      .replace(/\ud800/, '\ufffd')
      .replace('\u0085', '\ufffd')
      .replace('\u0000', '\u2400')
      .replace('\u0007', '\u2407')
      .replace('\u001b', '\u241b')
    expect(elements[0]?.textContent).toBe(expected)
    expect(elements[0]?.getAttribute('title')).toBe(expected)
  })

  it('control characters get their picture and half characters a sign', () => {
    expect(escapeHtml('a\u0000b\u001b\u007f\u0080\ud800c\udfff\r\nd\re\tf')).toBe('a␀b␛␡\ufffd\ufffdc\ufffd\nd\ne\tf')
    expect(escapeHtml('👩‍👩')).toBe('👩‍👩')
  })
})
