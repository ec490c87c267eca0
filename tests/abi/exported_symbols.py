"""Every plugin of a folder exports its entry point and nothing else, and needs nothing of ours."""

import pathlib
import subprocess
import sys

folder = pathlib.Path(sys.argv[1])
plugins = sorted(folder.glob("*.so"))
if not plugins:
    sys.exit(f"no plugins in {folder}")
failed = False
for plugin in plugins:
    symbols = subprocess.run(["nm", "-D", "--defined-only", plugin], check=True, capture_output=True, text=True).stdout
    names = [line.split()[-1] for line in symbols.splitlines()]
    dynamic = subprocess.run(["readelf", "-dW", plugin], check=True, capture_output=True, text=True).stdout
    ours = [line for line in dynamic.splitlines() if "NEEDED" in line and any(w in line for w in ("quanthost", "torch", "c10"))]
    ok = names == ["qh_plugin_entry_v1"] and not ours
    failed |= not ok
    print(f"{'ok  ' if ok else 'FAIL'} {plugin.name}: exports {', '.join(names)}" + "".join(f"; {line}" for line in ours))
sys.exit(failed)
