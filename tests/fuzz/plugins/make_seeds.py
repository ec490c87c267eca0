#!/usr/bin/env python3
"""Writes the seeds: every manifest of the project, odd ones, and small ELF files with notes at both alignments."""
import pathlib
import struct

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
ABI = '\nabi: "1.0"\n'
ODD = {
    "flow": '{manifest: 1, id: a.b, version: "1.0", abi: "1.0", requires: ["x>=1,<2", {name: y, constraint: "~=1.2"}]}',
    "anchor": "manifest: 1\nid: &a x\nname: *a\n",
    "tag": "manifest: !!int 1\n",
    "twice": "manifest: 1\nmanifest: 1\n",
    "deep": "a: " + "[" * 40 + "]" * 40 + "\n",
    "block_text": "manifest: 1\nid: x\nversion: 1\nabi: '1.0'\ndescription: |\n  # no comment\n\n  text\nname: >-\n  folded\n  text\n",
    "critical": "manifest: 1\ncritical: [teleport]\nid: x\n",
    "numbers": "manifest: 1\nid: x\nversion: 1.0\nabi: '1.0'\nenvironment: {cuda: '>=12', hip: true, cpu_features: [avx2]}\n"
               "x: [0x10, .inf, -.INF, .nan, 1e5, +3, 9223372036854775808, ~, True, 'q', \"\\u00e9\"]\n",
}


def note(kind, owner, text, align):
    pad = lambda data: data + b"\0" * (-len(data) % align)  # noqa: E731
    return pad(struct.pack("<III", len(owner) + 1, len(text), kind) + owner + b"\0") + pad(text)


def elf(notes, align, sections):
    """Header, three program headers, notes, dynamic table with its strings; then section headers if wanted."""
    text = b"\0libc.so.6\0libx.so\0$ORIGIN/a:/b\0"
    notes_at = 64 + 3 * 56
    dynamic_at = notes_at + len(notes) + (-len(notes) % 8)
    entries = [(1, 1), (1, 11), (14, 11), (29, 19), (5, 0), (10, len(text)), (0, 0)]
    text_at = dynamic_at + 16 * len(entries)
    entries[4] = (5, text_at)
    names = b"\0.note.quanthost\0.shstrtab\0"
    sections_at = text_at + len(text) + len(names)
    header = struct.pack("<4sBBBB8xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 0, 3, 62, 1, 0, 64, sections_at if sections else 0, 0,
                         64, 56, 3, 64, 3 if sections else 0, 2 if sections else 0)
    end = text_at + len(text)
    programs = (struct.pack("<IIQQQQQQ", 1, 4, 0, 0, 0, end, end, 4096)
                + struct.pack("<IIQQQQQQ", 4, 4, notes_at, notes_at, 0, len(notes), len(notes), align)
                + struct.pack("<IIQQQQQQ", 2, 4, dynamic_at, dynamic_at, 0, 16 * len(entries), 16 * len(entries), 8))
    body = (header + programs + notes).ljust(dynamic_at, b"\0") + b"".join(struct.pack("<QQ", *e) for e in entries) + text
    if not sections:
        return body
    section = "<IIQQQQIIQQ"
    return (body + names + bytes(64) + struct.pack(section, 1, 7, 2, notes_at, notes_at, len(notes), 0, 0, align, 0)
            + struct.pack(section, 17, 3, 0, 0, end, len(names), 0, 0, 1, 0))


def main():
    manifests = {f"{path.parent.name}-{path.stem}": path.read_text() + ABI
                 for folder in ("plugins", "examples", "sdk/template") for path in sorted((ROOT / folder).rglob("plugin*.yaml"))}
    manifests.update(ODD)
    for name, text in manifests.items():
        (HERE / "corpus/manifest" / name).write_text(text)
    small = b'manifest: 1\nid: a.b\nversion: 1.0\nabi: "1.0"\n'
    for align in (4, 8):
        notes = note(3, b"GNU", b"build id", align) + note(1, b"QH", small, align)
        for sections in (False, True):
            name = f"aligned_{align}" + ("_sections" if sections else "")
            (HERE / "corpus/plugin_file" / name).write_bytes(elf(notes, align, sections))
    (HERE / "corpus/plugin_file/no_manifest").write_bytes(elf(note(3, b"GNU", b"x", 4), 4, True))
    (HERE / "corpus/plugin_file/empty").write_bytes(b"")


main()
