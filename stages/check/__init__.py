"""First stage: is params.yaml sound, and is what it names there?"""
