"""After the headers are known and before any long work: do the labels fit, is there room on the disk?"""
