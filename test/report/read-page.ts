/** @file Pages as a browser reads them, in the few words that tests need. */

import { parseHTML } from 'linkedom'

export interface PageElement {
  readonly tagName: string
  readonly id: string
  readonly textContent: string
  readonly children: ArrayLike<PageElement> & Iterable<PageElement>
  readonly attributes: Iterable<{ readonly name: string; readonly value: string }>
  getAttribute(name: string): string | null
  querySelector(selector: string): PageElement | null
  querySelectorAll(selector: string): ArrayLike<PageElement> & Iterable<PageElement>
}

export function readPage(text: string): PageElement {
  return parseHTML(text).document as unknown as PageElement
}

/** The text of an element with single blanks. */
export function textOf(element: PageElement | null | undefined): string {
  return (element?.textContent ?? '').replace(/\s+/g, ' ').trim()
}

/** The texts of all elements that a selector finds. */
export function textsOf(element: PageElement | null | undefined, selector: string): string[] {
  return [...(element?.querySelectorAll(selector) ?? [])].map(textOf)
}

const ASKS_OR_RUNS = 'iframe, img, object, embed, link, base, form, audio, video, image, use, foreignObject, noscript'

/** Everything that would ask a server, or let a text run. */
export function harmful(page: PageElement): string[] {
  const attributes = [...page.querySelectorAll('*')].flatMap(({ tagName, attributes }) =>
    [...attributes]
      .filter(
        ({ name, value }) =>
          /^(?:on|style$|src|action|formaction|xlink|ping)/i.test(name) || (name === 'href' && !value.startsWith('#')),
      )
      .map(({ name }) => `${tagName} ${name}`),
  )
  return [...[...page.querySelectorAll(ASKS_OR_RUNS)].map(({ tagName }) => tagName), ...attributes]
}
