"""One function over many files: chunks of work in supervised processes, here or on a Dask cluster, resumed if killed.

A chunk is what is handed out, and what is kept: its results are a file, so that a stage that is killed goes on from the
chunks it finished, and nothing big is pickled. A process that reads files can crash, hang, or take all the memory: each
is supervised, and the file that did it is a result too.
"""
