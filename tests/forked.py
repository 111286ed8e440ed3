"""Programs as ``python -m`` and ``python -c`` run them, but for seconds of imports.

Most tests of a command prove what it says and writes; that it can import what it needs,
a few in processes of their own prove as well. The others are forked from one process,
without threads, that has imported what is not ours; of ours nothing, so that all of it
runs as at any start.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import types
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NoReturn

__all__ = ["ONE_THREAD", "python"]

_IMPORTED = (
    *("jinja2", "numpy", "optuna.importance", "pandas", "pyarrow", "pytorch_lightning"),
    *("rich.live", "rich.progress", "rich.table", "safetensors.torch", "scipy.stats"),
    *("sklearn.datasets", "sklearn.linear_model", "sklearn.ensemble", "tomli_w"),
    *("sklearn.metrics", "sklearn.model_selection", "sklearn.preprocessing"),
    *("tensorboard.plugins.hparams.api_pb2", "tensorboard.summary"),
    *("torch.utils.tensorboard", "optuna.storages.journal"),
)
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)
_WITHOUT_THREADS = {
    **ONE_THREAD,
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # pyarrow's
}


def python(
    *words: str,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    warn: str = "error",
    timeout: float = 240,
) -> subprocess.CompletedProcess[str]:
    """What ``python -W warn words...`` comes to; first is ``-m``, ``-c`` or a file.

    A process that killed itself has the negative number of its signal for a code.
    """
    variables = dict(os.environ if env is None else env)
    if sys.platform != "linux":
        return subprocess.run(
            [sys.executable, "-W", warn, *words],
            cwd=cwd,
            env=variables,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    line = _server(os.getpid())
    asked = json.dumps([words, str(cwd), variables, warn]).encode()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        socket.send_fds(line, [asked], [out.fileno(), err.fileno()])
        line.settimeout(timeout)
        code = int(line.recv(16))
        told = []
        for file in (out, err):
            file.seek(0)
            told.append(file.read().decode())
    return subprocess.CompletedProcess(words, code, *told)


@cache
def _server(owner: int) -> socket.socket:
    """The line to the process that forks; whoever was forked himself has another."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen(
        [sys.executable, "-W", "error", __file__, str(there.fileno())],
        pass_fds=[there.fileno()],
        env={**os.environ, **_WITHOUT_THREADS},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    there.close()

    def end() -> None:
        if os.getpid() == owner:
            here.close()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    atexit.register(end)
    return here


def _forks(line: socket.socket) -> Iterator[tuple[list[str], list[int]]]:
    """Fork for each request; what comes out is for the child, which never goes on."""
    while True:
        asked, files, *_ = socket.recv_fds(line, 1 << 20, 2)
        if not asked:
            return
        pid = os.fork()
        if not pid:
            line.close()
            words, cwd, variables, warn = json.loads(asked)
            if warn != "error":
                warnings.simplefilter(warn)
            os.chdir(cwd)
            os.environ.clear()
            os.environ.update(variables)
            yield words, files
            raise AssertionError("one program for one process")
        for each in files:
            os.close(each)
        _, status = os.waitpid(pid, 0)
        line.send(str(os.waitstatus_to_exitcode(status)).encode())


def _ran(words: list[str]) -> int:
    """As Python does: the first folder of the path, the arguments, and ``__main__``."""
    sys.orig_argv = [sys.executable, *words]
    how, *rest = words
    try:
        if how == "-m":
            what, *arguments = rest
            sys.argv = [how, *arguments]
            sys.path[0] = str(Path.cwd())
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        elif how == "-c":
            what, *arguments = rest
            sys.argv = [how, *arguments]
            sys.path[0] = ""
            _as_main(what, "<string>")
        else:
            sys.argv = words
            sys.path[0] = str(Path(how).resolve().parent)
            _as_main(Path(how).read_text("utf-8"), how)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _as_main(code: str, name: str) -> None:
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    if name != "<string>":
        main.__file__ = name
    exec(compile(code, name, "exec"), main.__dict__)


def _leave(code: int) -> NoReturn:
    """As Python does, but for taking down the libraries, which takes seconds."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    gc.collect()  # what nobody has closed is told
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _serve(line: socket.socket) -> None:
    for name in _IMPORTED:
        importlib.import_module(name)
    assert not [name for name in sys.modules if name.split(".")[0] == "tunekit"]
    threads = [*Path("/proc/self/task").iterdir()]
    assert len(threads) == 1, "what has threads cannot be forked"
    gc.freeze()  # a collection leaves alone, thus shared, what was there before
    for words, (out, err) in _forks(line):
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.close(out)
        os.close(err)
        _leave(_ran(words))


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
