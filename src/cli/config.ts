/** @file Reads the configuration of a run: a YAML file, then `--set key=value` on top of it. */

import { parse } from 'yaml'
import { describeValue } from '../errors.js'
import { readRegularFile } from '../regular-file.js'
import { camelCase } from '../train/option-rules.js'
import { UsageError } from './usage-error.js'

type Config = Record<string, unknown>

/**
 * @param path YAML (and so JSON too); undefined: settings alone.
 * @param settings `training.learningRate=1e-4`: dots lead into the nested parts, values are YAML.
 * @throws UsageError when the file cannot be read, is not a mapping, or a setting has no `=`.
 */
export async function readConfig(path: string | undefined, settings: readonly string[] = []): Promise<Config> {
  const config = path === undefined ? {} : await readYaml(path)
  for (const setting of settings) applySetting(config, setting)
  return config
}

async function readYaml(path: string): Promise<Config> {
  const bytes = await readRegularFile(path, { where: 'config' }).catch((cause: Error) => {
    throw new UsageError(cause.message, { cause })
  })
  let value: unknown
  try {
    value = parse(bytes.toString())
  } catch (cause) {
    throw new UsageError(`[config] expected a readable YAML file, got ${path}: ${(cause as Error).message.trimEnd()}`, {
      cause,
    })
  }
  if (!isMapping(value)) {
    throw new UsageError(`[config] expected options such as "model: DIRECTORY" in ${path}, got ${describeValue(value)}`)
  }
  return value
}

function applySetting(config: Config, setting: string): void {
  const at = setting.indexOf('=')
  const path = setting.slice(0, Math.max(at, 0)).split('.')
  if (at < 0 || path.some((key) => key === '' || key === '__proto__')) {
    throw new UsageError(
      `[config] expected key=value for --set, got ${describeValue(setting)}; for example --set lora.r=8`,
    )
  }
  let value: unknown
  try {
    value = parse(setting.slice(at + 1))
  } catch (cause) {
    throw new UsageError(`[config] expected a YAML value in --set ${setting}: ${(cause as Error).message.trimEnd()}`, {
      cause,
    })
  }
  let part = config
  for (const key of path.slice(0, -1)) {
    const name = spelling(part, key)
    if (!Object.hasOwn(part, name) || part[name] === null) part[name] = {}
    const next = part[name]
    if (!isMapping(next)) {
      throw new UsageError(`[config] expected ${key} to hold options for --set ${setting}, got ${describeValue(next)}`)
    }
    part = next
  }
  part[spelling(part, path.at(-1) as string)] = value
}

/** The key as the file spells it, in camelCase or snake_case, so that a setting replaces what the file says. */
function spelling(part: Config, key: string): string {
  return Object.keys(part).find((existing) => camelCase(existing) === camelCase(key)) ?? key
}

function isMapping(value: unknown): value is Config {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
