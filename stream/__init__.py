"""The stream worker and the tools: events in; labels, recommendations and metrics out.

`faust -A stream worker` looks for `stream.app`. It is assembled from the environment when it is first asked
for, so that `import stream.sessions` loads neither Faust nor a model.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from stream.wiring import app_from_environment

    globals()["app"] = app = app_from_environment()
    return app
