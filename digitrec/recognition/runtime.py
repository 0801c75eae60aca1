"""Pool of LiteRT interpreters of one model, so that any number of threads can run it."""

import threading
from collections import OrderedDict, deque
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from digitrec.errors import ModelError
from digitrec.recognition.classifier_keras import quiet_start

Shape = tuple[int, ...]

MAX_SHAPES = 8
"""Input shapes whose interpreters are kept, those used last. An interpreter of the sequence recognizer takes 2.4 to 6.6
MB, and there are 19 widths. 223 real pages use 6 of them; on a page of dots that uses all, 172 of 1,884 calls have to
start one, which takes 1 to 2 ms."""


class _Runner(NamedTuple):
    """Interpreter, for one thread at a time, with the indices of its input and output."""

    interpreter: Any
    entry: int
    exit: int


class InterpreterPool:
    """A `.tflite` model with one input and one output; it can be pickled."""

    def __init__(self, network: bytes, name: str, entry: Shape, exits: frozenset[Shape]) -> None:
        """Load the content of a `.tflite` file whose digest was checked.

        Args:
            network: content of the file.
            name: for error messages.
            entry: input shape of the first interpreter.
            exits: allowed output shapes for it.

        Raises:
            ModelError: LiteRT cannot run it, or its shapes differ.
        """
        self._network = network
        self._name = name
        self._entry = entry
        self._exits = exits
        first = self._start(entry)
        shape = tuple(int(side) for side in first.interpreter.get_output_details()[0]["shape"])
        if shape not in exits:
            raise ModelError(f"the shapes of {name} end in {shape}, not in {' or '.join(map(str, sorted(exits)))}")
        # Not one for each thread, as an executor's threads last for a batch only. One pool for each shape, as planning
        # a shape takes longer than running it.
        self._idle: OrderedDict[Shape, deque[_Runner]] = OrderedDict({entry: deque([first])})
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, tuple[bytes, str, Shape, frozenset[Shape]]]:
        return _cached_pool, (self._network, self._name, self._entry, self._exits)

    def __call__(self, entry: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the model on a batch of one.

        Raises:
            ModelError: the model does not support this input shape.
        """
        with self._lock:
            idle = self._idle.setdefault(entry.shape, deque())
            self._idle.move_to_end(entry.shape)
            runner = idle.pop() if idle else None
            if len(self._idle) > MAX_SHAPES:
                self._idle.popitem(last=False)
        if runner is None:
            runner = self._start(entry.shape)
        runner.interpreter.set_tensor(runner.entry, entry)
        runner.interpreter.invoke()
        result = np.asarray(runner.interpreter.get_tensor(runner.exit), np.float32)
        idle.append(runner)
        return result

    def _start(self, shape: Shape) -> _Runner:
        with quiet_start():
            from ai_edge_litert.interpreter import Interpreter

            try:
                interpreter = Interpreter(model_content=self._network, num_threads=1)
                entry, exit_ = interpreter.get_input_details(), interpreter.get_output_details()
                if len(entry) != 1 or len(exit_) != 1:
                    raise ValueError("it has more than one input or output")
                if tuple(entry[0]["shape"]) != shape:
                    interpreter.resize_tensor_input(entry[0]["index"], shape)
                interpreter.allocate_tensors()
            except (ValueError, RuntimeError) as why:
                raise ModelError(f"LiteRT cannot run {self._name}: {why}") from None
        return _Runner(interpreter, entry[0]["index"], exit_[0]["index"])


@lru_cache(maxsize=8)
def _cached_pool(network: bytes, name: str, entry: Shape, exits: frozenset[Shape]) -> InterpreterPool:
    # A worker process may receive the same model again, with another task.
    return InterpreterPool(network, name, entry, exits)
