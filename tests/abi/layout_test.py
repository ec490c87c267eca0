"""The layout check notices what would break old plugins: a moved, resized, renamed or removed field, a changed constant."""

import argparse
import pathlib
import shutil
import sys
import tempfile

from layout import layout, problems

parser = argparse.ArgumentParser()
parser.add_argument("--include", type=pathlib.Path, required=True)
parser.add_argument("--compiler", default="cc")
args = parser.parse_args()

recorded = layout(args.include, args.compiler)
BREAKING = {
    "a field inserted in the middle": ("abi/plugin.h", "  uint32_t abi_minor_min;", "  uint64_t new_field;\n  uint32_t abi_minor_min;"),
    "a field removed": ("abi/quantizer.h", "  qh_status (*is_trainable)(qh_quantizer* self, int32_t* out);", ""),
    "a field of another type": ("abi/module.h", "  double element_bytes;", "  int64_t element_bytes;"),
    "a field renamed": ("abi/tensor.h", "uint32_t thread_count;", "uint32_t threads;"),
    "a constant changed": ("abi/base.h", "QH_ERR_VALUE = 2", "QH_ERR_VALUE = 12"),
    "a callback's arguments changed": ("abi/tensor.h", "qh_status (*qh_range_fn)(void* arg, int64_t begin", "qh_status (*qh_range_fn)(void* arg, int32_t begin"),
    "a value type that grew": ("abi/quantizer.h", "  qh_str text;        /* STRING and JSON */", "  qh_str text;\n  uint64_t more;"),
    "a struct within another that grew": ("packages/bnb4_kernels.h", "  int64_t nested_blocksize;", "  int64_t nested_blocksize;\n  int64_t more;"),
    "a service id changed": ("abi/services.h", '"qh.log/1"', '"qh.log/2"'),
}
HARMLESS = {
    "a field appended": ("abi/plugin.h", "  const qh_plugin_api* api;\n} qh_accept;", "  const qh_plugin_api* api;\n  uint64_t more;\n} qh_accept;"),
    "a constant added": ("abi/base.h", "QH_ERR_INTERNAL = 11", "QH_ERR_INTERNAL = 11,\n  QH_ERR_NEW = 12"),
}

failed = 0
for cases, breaks in ((BREAKING, True), (HARMLESS, False)):
    for name, (header, old, new) in cases.items():
        with tempfile.TemporaryDirectory() as folder:
            changed = pathlib.Path(folder, "include")
            shutil.copytree(args.include, changed)
            path = changed / "quanthost" / header
            text = path.read_text()
            assert old in text, f"{header} does not contain {old!r}: adapt this test"
            path.write_text(text.replace(old, new, 1))
            lost = problems(layout(changed, args.compiler), recorded)
            ok = bool(lost) == breaks
            failed += not ok
            print(f"{'ok  ' if ok else 'FAIL'} {name}: {'breaks' if lost else 'keeps'} the record")
sys.exit(failed != 0)
