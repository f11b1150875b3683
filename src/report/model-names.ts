/** @file The name of a model beside its colour, the same everywhere on a page. */

import { html, inline, type Markup } from './markup.js'

/** The colours of a page. */
const COLORS = 8

/** The colour of a model: the first is grey, as what the others are compared with. */
export function colorOf(index: number): number {
  return index === 0 ? 0 : ((index - 1) % (COLORS - 1)) + 1
}

/** A model's name beside its colour. */
export function modelName(name: string, index: number): Markup {
  return html`<span class="model m${colorOf(index)}"><span class="swatch"></span>${inline(name)}</span>`
}
