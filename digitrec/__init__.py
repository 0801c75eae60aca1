"""Read numbers from scanned and photographed pictures, from Python or from a watched folder.

Everything in `__all__` is loaded when it is first used, so that `import digitrec` takes no time.
"""

from importlib import import_module

__version__ = "0.2.0.dev0"
__all__ = [
    "Box",
    "Dataset",
    "Digit",
    "DigitrecError",
    "EvaluationResult",
    "ModelPackage",
    "Number",
    "Page",
    "PageStatus",
    "Reader",
    "Reason",
    "RunSummary",
    "__version__",
    "evaluate",
    "load_dataset",
    "read",
    "run",
    "train",
]

TYPE_CHECKING = False  # `typing` is not imported for it: that alone takes longer than this module
if TYPE_CHECKING:
    from digitrec.app.api import evaluate, run, train
    from digitrec.app.models import EvaluationResult
    from digitrec.app.reader import Page, Reader, read
    from digitrec.app.service import RunSummary
    from digitrec.errors import DigitrecError
    from digitrec.models.package import ModelPackage
    from digitrec.training.datasets.dataset import Dataset
    from digitrec.training.datasets.registry import load_dataset
    from digitrec.types import Box, Digit, Number, PageStatus, Reason
else:
    _MODULES = {
        "app.api": ("evaluate", "run", "train"),
        "app.models": ("EvaluationResult",),
        "app.reader": ("Page", "Reader", "read"),
        "app.service": ("RunSummary",),
        "errors": ("DigitrecError",),
        "models.package": ("ModelPackage",),
        "training.datasets.dataset": ("Dataset",),
        "training.datasets.registry": ("load_dataset",),
        "types": ("Box", "Digit", "Number", "PageStatus", "Reason"),
    }
    _MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

    def __getattr__(name):
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
        return value

    def __dir__():
        return sorted({*globals(), *__all__})
