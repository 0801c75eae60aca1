"""A model that learns from what people corrected.

gathering   the corrections of all workers -> pages to learn from, and pages held out for ever
teaching    a model that goes on from another, or one from nothing, with those pages
judging     what that changed on the pages held out, and which corrections may be mistakes
retraining  all of it, and promotion if the model got worse in nothing
"""

from digitrec.learning.gathering import Gathered, gather, is_held_out
from digitrec.learning.judging import Learned, judge
from digitrec.learning.retraining import Lesson, Retrained, learn, retrain
from digitrec.learning.teaching import teach

__all__ = ["Gathered", "Learned", "Lesson", "Retrained", "gather", "is_held_out", "judge", "learn", "retrain", "teach"]
