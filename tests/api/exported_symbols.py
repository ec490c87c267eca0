"""What libquanthost.so shows, against the record: nothing may disappear, and what is new is recorded on purpose.

    exported_symbols.py check  LIBRARY RECORD
    exported_symbols.py record LIBRARY RECORD
"""

import pathlib
import subprocess
import sys

# Doors of the command into the library of its own build, which promise nothing to anybody else.
OWN_DOORS = {"quanthost_run_verb", "quanthost_describe_verbs"}

action, library, record = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
listing = subprocess.run(["nm", "-DC", "--defined-only", library], check=True, capture_output=True, text=True).stdout
# Version tags of the map stand behind each name; weak twins of constructors and the like appear once.
shown = {line.split(maxsplit=2)[2].replace("@@QUANTHOST_0", "") for line in listing.splitlines() if " A " not in line}
names = sorted(shown - OWN_DOORS)
if action == "record":
    record.write_text("".join(name + "\n" for name in names))
    sys.exit(0)
recorded = record.read_text().splitlines()
lost, new = sorted(set(recorded) - set(names)), sorted(set(names) - set(recorded))
for name in lost:
    print(f"lost: {name}")
for name in new:
    print(f"not recorded: {name}")
if lost:
    print("Applications that were linked before need what is lost: bring it back, or raise the SOVERSION.")
if new:
    print("Meant to be shown? Then run tests/api/exported_symbols.py record. Otherwise mend host/api/libquanthost.map.")
sys.exit(bool(lost or new))
