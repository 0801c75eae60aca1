"""A model that learns from what people corrected.

gathering   the corrections of all workers -> pages to learn from, and pages held out for ever
teaching    a model that goes on from another, or one from nothing, with those pages
judging     what that changed on the pages held out, and which corrections may be mistakes
retraining  all of it, and promotion if the model got worse in nothing
"""
