"""The files that stages hand to one another: where each lies, what it holds, how it is written and read.

One module per file, so that a change of one schema rebuilds only the stages that use it.
"""
