"""The bot over HTTP: its own and OpenAI's chat protocol, the bank under control, metrics."""

from importlib.util import find_spec

from g2r.errors import DependencyError

for _library in ("fastapi", "prometheus_client", "uvicorn"):
    if find_spec(_library) is None:
        raise DependencyError(f"the server needs {_library}: pip install 'g2r[serve]'")
