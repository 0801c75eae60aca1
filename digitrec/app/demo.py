"""Use case `demo`: fill a workspace with pictures to try."""

from digitrec.pipeline import workspace
from digitrec.settings import Settings
from digitrec.training.datasets import mnist
from digitrec.training.synthetic import samples
from digitrec.training.synthetic.pages import demo_table

_COUNT, _SEED = 20, 0
"""Number of scans of one digit, and the seed of all of them."""


def fill_inbox(settings: Settings) -> int:
    """Make the folders of a workspace, draw scans and the photo of a table into its inbox; return their number."""
    workspace.init_folders(settings)
    digits = mnist.load_mnist_200().train
    content, text = demo_table.draw_demo_table(digits)
    scans = samples.generate_samples(digits.pictures, digits.digits, _COUNT, _SEED)
    return len(samples.save_samples(settings.inbox, [*scans, (demo_table.NAME, content, text)]))
