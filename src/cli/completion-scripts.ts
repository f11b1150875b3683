/** @file Scripts by which shells complete the command line, made from the commands. Knows no command. */

import { flagsOf, type TableFlag } from '../options/flags.js'
import type { Argument, CommandDescription, Program } from './command.js'
import { COMMON_FLAGS } from './parse.js'

export type Shell = 'bash' | 'zsh' | 'fish'

export const SHELLS: readonly Shell[] = ['bash', 'zsh', 'fish']

/** What a shell has to know of a command. */
interface Completed {
  readonly name: string
  readonly summary: string
  readonly flags: readonly TableFlag[]
  /** Words of its argument; 'files', or nothing where it takes none. */
  readonly words: readonly string[] | 'files' | undefined
}

/** The script for a shell, to be read by it at its start. */
export async function completionScript(shell: Shell, { commands }: Program): Promise<string> {
  const names = [...commands.keys()]
  const completed = await Promise.all(
    [...commands].map(async ([name, load]) => describe(name, (await load()).command, names)),
  )
  return { bash, zsh, fish }[shell](completed)
}

function describe(name: string, command: CommandDescription, names: readonly string[]): Completed {
  const { summary, settings = {}, flags, arguments: [argument] = [] } = command
  return {
    name,
    summary,
    flags: [settings, flags, COMMON_FLAGS].flatMap((table) => flagsOf(table)),
    words: argument && wordsOf(argument, names),
  }
}

function wordsOf({ choices }: Argument, names: readonly string[]): readonly string[] | 'files' {
  return choices === 'commands' ? names : (choices ?? 'files')
}

/** What may stand behind a flag: words, files, or anything else; undefined where it takes nothing. */
function valuesOf({ argument, choices, entry }: TableFlag): readonly string[] | 'files' | 'text' | undefined {
  if (argument === undefined) return undefined
  const listed = choices ?? (entry.rule.schema?.enum as readonly unknown[] | undefined)
  if (listed) return listed.filter((value) => typeof value === 'string')
  return argument === 'dir' || argument === 'path' ? 'files' : 'text'
}

function bash(commands: readonly Completed[]): string {
  const cases = commands.flatMap(({ name, flags, words }) => [
    `    ${name})`,
    '      case $previous in',
    ...flags.flatMap((flag) => {
      const values = valuesOf(flag)
      if (values === undefined) return []
      const offer = values === 'files' ? 'files=1' : values === 'text' ? ':' : `words='${values.join(' ')}'`
      return [`        ${flag.name}) ${offer} ;;`]
    }),
    `        *) if [[ $current == -* ]]; then words='${flags.map((flag) => flag.name).join(' ')}'; else ${
      words === undefined ? ':' : words === 'files' ? 'files=1' : `words='${words.join(' ')}'`
    }; fi ;;`,
    '      esac ;;',
  ])
  return `# Completion of lowrank for bash. In ~/.bashrc: source <(lowrank completion bash)
_lowrank() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} words='' files=''
  # bash takes --flag=value for three words.
  if [[ $current == = ]]; then current=''
  elif [[ $previous == = ]]; then previous=\${COMP_WORDS[COMP_CWORD-2]}
  fi
  if (( COMP_CWORD == 1 )); then words='${commands.map(({ name }) => name).join(' ')} --help --version'
  else
    case \${COMP_WORDS[1]} in
${cases.map((line) => `  ${line}`).join('\n')}
    esac
  fi
  if [[ $files ]]; then
    compopt -o filenames 2>/dev/null
    COMPREPLY=($(IFS=$'\\n'; compgen -f -- "$current"))
  else
    COMPREPLY=($(compgen -W "$words" -- "$current"))
  fi
}
complete -F _lowrank lowrank
`
}

function zsh(commands: readonly Completed[]): string {
  const cases = commands.flatMap(({ name, flags, words }) => [
    `    ${name})`,
    '      _arguments \\',
    ...flags.map((flag) => {
      const values = valuesOf(flag)
      const value =
        values === undefined
          ? ''
          : `:${flag.argument}:${values === 'files' ? '_files' : values === 'text' ? '' : `(${values.join(' ')})`}`
      const name = `${flag.isRepeatable ? '*' : ''}${flag.name}${values === undefined ? '' : '='}`
      return `        ${singleQuoted(`${name}[${(flag.help ?? flag.entry.help).replace(/[[\]\\:]/g, '\\$&')}]${value}`)} \\`
    }),
    `        ${words === undefined ? "'*:: :'" : words === 'files' ? "'1:file:_files'" : `'1:word:(${words.join(' ')})'`} ;;`,
  ])
  const names = commands.map(({ name, summary }) => `    ${singleQuoted(`${name}:${summary.replaceAll(':', '\\:')}`)}`)
  return `#compdef lowrank
# Completion of lowrank for zsh. In ~/.zshrc, behind compinit: source <(lowrank completion zsh)
_lowrank() {
  local -a commands
  commands=(
${names.join('\n')}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  shift words
  (( CURRENT-- ))
  case $words[1] in
${cases.join('\n')}
  esac
}
if [[ $funcstack[1] == _lowrank ]]; then _lowrank "$@"; else compdef _lowrank lowrank; fi
`
}

function fish(commands: readonly Completed[]): string {
  const lines = commands.flatMap(({ name, summary, flags, words }) => {
    const inCommand = `complete -c lowrank -n '__fish_seen_subcommand_from ${name}'`
    return [
      `complete -c lowrank -n __fish_use_subcommand -a ${name} -d ${quotedForFish(summary)}`,
      ...(words === 'files' ? [`${inCommand} -F`] : []),
      ...(Array.isArray(words) ? [`${inCommand} -a '${words.join(' ')}'`] : []),
      ...flags.map((flag) => {
        const values = valuesOf(flag)
        const takes =
          values === undefined
            ? ''
            : values === 'files'
              ? ' -rF'
              : values === 'text'
                ? ' -x'
                : ` -xa '${values.join(' ')}'`
        return `${inCommand} -l ${flag.name.slice(2)}${takes} -d ${quotedForFish(flag.help ?? flag.entry.help)}`
      }),
    ]
  })
  return `# Completion of lowrank for fish. In ~/.config/fish/config.fish: lowrank completion fish | source
complete -c lowrank -f
${lines.join('\n')}
`
}

function singleQuoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}

/** fish knows escapes within quotes. */
function quotedForFish(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`
}
