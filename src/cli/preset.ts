/** @file What the commands say of a preset: which recipe it is, and what of it is done in another way here. */

import { presetText } from '../progress/event-lines.js'
import { findPreset } from '../train/presets.js'

export interface NamedPreset {
  readonly name: string
  readonly description: string
  readonly differences: readonly string[]
}

/** The preset of a configuration that has been checked, or undefined where it has none. */
export function presetOf({ preset: name }: Readonly<Record<string, unknown>>): NamedPreset | undefined {
  if (name === undefined) return undefined
  const { description, differences } = findPreset(name)
  return { name: String(name), description, differences }
}

/** The same for people, each line ended. */
export function presetLines(preset: NamedPreset | undefined): string {
  return preset ? `${presetText(preset)}\n` : ''
}
