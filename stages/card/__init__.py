"""The model card of a recipe: what the pipeline knows is filled in, what it cannot know is the author's to fill."""
