"""Archives today's ABI: its headers and a plugin that uses them, as tests/abi/frozen/<version>/.

An archive is never touched again.
"""

import pathlib
import shutil
import sys

from layout import abi_version

root = pathlib.Path(__file__).resolve().parents[2]
version = abi_version(root / "sdk/include")
target = root / "tests/abi/frozen" / version
if target.exists():
    sys.exit(f"{target} exists: a frozen ABI is never recorded again")
shutil.copytree(root / "sdk/include/quanthost/abi", target / "include/quanthost/abi")
shutil.copy(root / "sdk/include/quanthost/abi.h", target / "include/quanthost/abi.h")
for name in ("absmax8.h", "plugin.c", "quantizer.c", "linear8.c", "plugin.yaml"):
    shutil.copy(root / "examples/plugins/absmax8-c" / name, target / name)
print(f"archived ABI {version} in {target.relative_to(root)}")
