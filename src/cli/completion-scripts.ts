/** @file Scripts by which shells complete the command line, made from the commands. Knows no command. */

import { flagsOf, type TableFlag } from '../options/flags.js'
import type { Argument, CommandDescription, Program } from './command.js'
import { firstWords, groupsOf, nextWords } from './find-command.js'
import { COMMON_FLAGS } from './parse.js'

export type Shell = 'bash' | 'zsh' | 'fish'

export const SHELLS: readonly Shell[] = ['bash', 'zsh', 'fish']

/** What a shell has to know of a command. */
interface Completed {
  /** In full: `data show`. */
  readonly name: string
  readonly summary: string
  readonly flags: readonly TableFlag[]
  /** Words of its first argument; 'files', or nothing where it takes none. */
  readonly words: readonly string[] | 'files' | undefined
  /** Whether words that are a group have one of its commands behind them. */
  readonly takesSubcommand: boolean
}

/** A group, and the words that may stand behind it. */
interface CompletedGroup {
  readonly name: string
  readonly summary: string
  readonly words: readonly string[]
}

/** What a shell has to know of the program. */
interface CompletedProgram {
  /** What may stand first. */
  readonly words: readonly string[]
  readonly commands: readonly Completed[]
  readonly groups: readonly CompletedGroup[]
}

/** The script for a shell, to be read by it at its start. */
export async function completionScript(shell: Shell, program: Omit<Program, 'version'>): Promise<string> {
  const { commands, groups } = program
  const words = firstWords(program)
  const completed = await Promise.all(
    [...commands].map(async ([name, load]) => describe(name, (await load()).command, words)),
  )
  const described = groupsOf(program).map(
    (name): CompletedGroup => ({ name, summary: groups.get(name) ?? '', words: nextWords(name, program) }),
  )
  return { bash, zsh, fish }[shell]({ words, commands: completed, groups: described })
}

function describe(name: string, command: CommandDescription, firstWords: readonly string[]): Completed {
  const { summary, settings = {}, flags, arguments: words = [] } = command
  const [argument] = words
  return {
    name,
    summary,
    flags: [settings, flags, COMMON_FLAGS].flatMap((table) => flagsOf(table)),
    words: argument && wordsOf(argument, firstWords),
    takesSubcommand: words.some(({ choices }) => choices === 'subcommands'),
  }
}

function wordsOf({ choices }: Argument, firstWords: readonly string[]): readonly string[] | 'files' {
  if (choices === 'commands') return firstWords
  return choices === undefined || choices === 'subcommands' ? 'files' : choices
}

/** What may stand behind a flag: words, files, or anything else; undefined where it takes nothing. */
function valuesOf({ argument, choices, entry }: TableFlag): readonly string[] | 'files' | 'text' | undefined {
  if (argument === undefined) return undefined
  const listed = choices ?? (entry.rule.schema?.enum as readonly unknown[] | undefined)
  if (listed) return listed.filter((value) => typeof value === 'string')
  return argument === 'dir' || argument === 'path' ? 'files' : 'text'
}

function bash({ words: firstWords, commands, groups }: CompletedProgram): string {
  const offers = groups.map(({ name, words }) => `${pattern(name)}) words='${words.join(' ')}' ;;`)
  const cases = commands.flatMap(({ name, flags, words, takesSubcommand }) => [
    `    '${name}')`,
    '      case $previous in',
    ...flags.flatMap((flag) => {
      const values = valuesOf(flag)
      if (values === undefined) return []
      const offer = values === 'files' ? 'files=1' : values === 'text' ? ':' : `words='${values.join(' ')}'`
      return [`        ${flag.name}) ${offer} ;;`]
    }),
    `        *) if [[ $current == -* ]]; then words='${flags.map((flag) => flag.name).join(' ')}'; else ${
      words === undefined ? ':' : words === 'files' ? 'files=1' : `words='${words.join(' ')}'`
    }; fi${takesSubcommand ? '' : ' ;;'}`,
    ...(takesSubcommand
      ? [
          `        case "\${COMP_WORDS[*]:2:COMP_CWORD-2}" in`,
          ...offers.map((offer) => `          ${offer}`),
          '        esac ;;',
        ]
      : []),
    '      esac ;;',
  ])
  return `# Completion of lowrank for bash. In ~/.bashrc: source <(lowrank completion bash)
_lowrank() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} words='' files=''
  local command=\${COMP_WORDS[1]}
  # bash takes --flag=value for three words.
  if [[ $current == = ]]; then current=''
  elif [[ $previous == = ]]; then previous=\${COMP_WORDS[COMP_CWORD-2]}
  fi
  if (( COMP_CWORD == 1 )); then words='${firstWords.join(' ')} --help --version'
  else
${groups
  .map(({ name }) => {
    const length = name.split(' ').length
    return `    [[ $command == '${name}' ]] && (( COMP_CWORD > ${length + 1} )) && command+=" \${COMP_WORDS[${length + 1}]}"\n`
  })
  .join('')}    case $command in
${offers.map((offer) => `      ${offer}\n`).join('')}${cases.map((line) => `  ${line}`).join('\n')}
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

function zsh({ words: firstWords, commands, groups }: CompletedProgram): string {
  const cases = commands.flatMap(({ name, flags, words, takesSubcommand }) => [
    `    '${name}')`,
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
    `        ${words === undefined ? "'*:: :'" : words === 'files' ? "'*:file:_files'" : `'1:word:(${words.join(' ')})'`}${takesSubcommand ? ` '2:command: _lowrank_within $words[2]' '3:command: _lowrank_within "$words[2] $words[3]"'` : ''} ;;`,
  ])
  const summaries = new Map([...commands, ...groups].map(({ name, summary }) => [name, summary]))
  const described = (name: string, shown: string): string =>
    singleQuoted(`${shown}:${(summaries.get(name) ?? '').replaceAll(':', '\\:')}`)
  const names = firstWords.map((name) => `    ${described(name, name)}`)
  const within = groups.map(
    ({ name, words }) =>
      `    ${pattern(name)}) commands=(${words.map((word) => described(`${name} ${word}`, word)).join(' ')}) ;;`,
  )
  return `#compdef lowrank
# Completion of lowrank for zsh. In ~/.zshrc, behind compinit: source <(lowrank completion zsh)
_lowrank_within() {
  local -a commands
  case $1 in
${within.map((line) => `${line}\n`).join('')}    *) return 1 ;;
  esac
  _describe command commands
}
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
  local command=$words[1]
  while true; do
    case $command in
      ${groups.length === 0 ? "''" : groups.map(({ name }) => pattern(name)).join(' | ')})
        if (( CURRENT == 2 )); then
          _lowrank_within "$command"
          return
        fi
        command+=" $words[2]"
        shift words
        (( CURRENT-- )) ;;
      *) break ;;
    esac
  done
  case $command in
${cases.join('\n')}
  esac
}
if [[ $funcstack[1] == _lowrank ]]; then _lowrank "$@"; else compdef _lowrank lowrank; fi
`
}

function fish({ words: firstWords, commands, groups }: CompletedProgram): string {
  const first = (name: string, summary: string): string =>
    `complete -c lowrank -n __fish_use_subcommand -a ${name} -d ${quotedForFish(summary)}`
  const summaries = new Map([...commands, ...groups].map(({ name, summary }) => [name, summary]))
  const lines = commands.flatMap(({ name, flags, words, takesSubcommand }) => {
    const inCommand = `complete -c lowrank -n '__lowrank_in ${name}'`
    const offers = Array.isArray(words)
      ? [`complete -c lowrank -n '__lowrank_behind ${name}' -a '${words.join(' ')}'`]
      : []
    return [
      ...(words === 'files' ? [`${inCommand} -F`] : offers),
      ...(takesSubcommand
        ? groups.map(
            (group) => `complete -c lowrank -n '__lowrank_behind ${name} ${group.name}' -a '${group.words.join(' ')}'`,
          )
        : []),
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
  const nested = groups.flatMap(({ name, words }) =>
    words.map(
      (word) =>
        `complete -c lowrank -n '__lowrank_behind ${name}' -a ${word} -d ${quotedForFish(summaries.get(`${name} ${word}`) ?? '')}`,
    ),
  )
  return `# Completion of lowrank for fish. In ~/.config/fish/config.fish: lowrank completion fish | source
# Whether the words before the cursor begin with those of a command.
function __lowrank_in
  set -l words (commandline -opc)
  test "$words[2..$(math (count $argv) + 1)]" = "$argv"
end
# Whether they are those of a command and nothing more.
function __lowrank_behind
  set -l words (commandline -opc)
  test "$words[2..]" = "$argv"
end
complete -c lowrank -f
${[...firstWords.map((name) => first(name, summaries.get(name) ?? '')), ...nested, ...lines].join('\n')}
`
}

/** A name as a pattern of `case`. */
function pattern(name: string): string {
  return name.includes(' ') ? `'${name}'` : name
}

function singleQuoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}

/** fish knows escapes within quotes. */
function quotedForFish(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`
}
