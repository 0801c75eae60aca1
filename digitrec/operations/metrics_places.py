"""Where the metrics are shown: in a file that appears whole, and on a port for this machine only."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from digitrec import files, logs
from digitrec.errors import EnvironmentFailure
from digitrec.settings import Settings

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

_EVERY_S = 5.0
_SHARE = 20
"""Looking takes a twentieth of the time at most, however long the ledger has become."""


class MetricsFile:
    """The file of `metrics_file`; does nothing without that setting. A disk that does not take it stops nothing."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._next_at_s = 0.0
        self._is_told = False

    def write(self, *, at_once: bool = False) -> None:
        """Write it, unless that was done just now."""
        path = self._settings.metrics
        began_s = time.monotonic()
        if path is None or (began_s < self._next_at_s and not at_once):
            return
        from digitrec.operations import metrics

        try:
            files.write_whole(path, metrics.text(metrics.gather(self._settings)))
            self._is_told = False
        except OSError as why:
            if not self._is_told:
                logs.warn("metrics cannot be written, the work goes on", file=path, why=why)
            self._is_told = True
        except Exception as why:  # noqa: BLE001 - no measure is worth the service
            logs.unexpected_error("metrics cannot be gathered, the work goes on", why)
        took_s = time.monotonic() - began_s
        self._next_at_s = began_s + max(_EVERY_S, _SHARE * took_s)


@contextmanager
def shown(settings: Settings) -> Iterator[None]:
    """Answer on `metrics_port` of 127.0.0.1, if there is one; with what is known of this process, too.

    Raises:
        EnvironmentFailure: something else has the port.
    """
    if not settings.metrics_port:
        yield
        return
    from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

    registry = CollectorRegistry()
    registry.register(_Collector(settings))
    ProcessCollector(registry=registry)
    try:
        server, thread = start_http_server(settings.metrics_port, "127.0.0.1", registry)
    except OSError as why:
        hint = "Name another with --metrics-port, or 0 for none."
        raise EnvironmentFailure(f"port {settings.metrics_port} cannot be used: {why.strerror}", hint=hint) from why
    logs.event("metrics are shown", address=f"http://127.0.0.1:{settings.metrics_port}/metrics")
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Collector:
    """Our metrics as the library's; looked for at each question, in the thread that answers it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def describe(self) -> "list[Metric]":
        return []  # nothing is looked for at the start

    def collect(self) -> "Iterator[Metric]":
        from prometheus_client.metrics_core import Metric

        from digitrec.operations import metrics

        try:
            samples = metrics.gather(self._settings)
        except Exception as why:  # noqa: BLE001 - the server would print its traceback
            logs.unexpected_error("metrics cannot be gathered, the work goes on", why)
            return
        for name, (kind, words) in metrics.METRICS.items():
            family = Metric(name.removesuffix("_total") if kind == "counter" else name, words, kind)
            for one in samples:
                if one.metric == name:
                    family.add_sample(name + one.suffix, dict(one.labels), float(one.value))
            if family.samples:
                yield family
