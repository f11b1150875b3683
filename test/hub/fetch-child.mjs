// A process that fetches a model: its id comes as an argument, the rest from the environment.
import { fetchModel } from '../../dist/hub/fetch-model.js'

const { directory } = await fetchModel(process.argv[2], '/tried')
process.stdout.write(directory)
