# the trainer's code, as DVC sees it
