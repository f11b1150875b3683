"""Runs a notebook by nbclient: NOTEBOOK KERNEL FOLDER OUTPUT, the folder being where it runs."""

import sys

import nbformat
from nbclient import NotebookClient

source, kernel, folder, output = sys.argv[1:]
notebook = nbformat.read(source, as_version=4)
resources = {"metadata": {"path": folder}}
client = NotebookClient(notebook, kernel_name=kernel, timeout=120, resources=resources, record_timing=False)
client.execute()
# As it was written: which kernel ran it is not part of it.
notebook.metadata = nbformat.read(source, as_version=4).metadata
nbformat.write(notebook, output)
