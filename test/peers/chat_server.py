"""A server of chat completions: llama.cpp, in this process, on a free port. Writes its address; ends with its stdin."""

import sys

import xllamacpp

params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.hostnames = ["127.0.0.1"]
params.port = 0
params.n_ctx = 4096
params.n_parallel = 2
params.warmup = False
# Threads that wait for each other are slow where others want the processor too.
params.cpuparams.n_threads = 1
params.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
while sys.stdin.readline():
    pass
