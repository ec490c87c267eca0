#!/usr/bin/env python3
"""The page of `quanthost report` in a real browser: headless Chromium draws it, and no request leaves it.

    tests/report/page_test.py --build build [--keep FOLDER]     FOLDER gets the page and its screenshots

The browser runs behind a proxy that answers nothing and writes down who asks for what. A page with a picture from elsewhere goes
through the same, to prove that a request would be noticed.
"""
import argparse
import json
import math
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import zlib

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SIZES = {"light": (1200, 1500, []), "dark": (1200, 1500, ["--force-dark-mode", "--blink-settings=preferredColorScheme=0"]),
         "narrow": (500, 2900, [])}

# Hosts that Chromium asks for its own updates, clock and settings, whatever page it shows.
BROWSERS_OWN = {"update.googleapis.com", "clients2.google.com", "clientservices.googleapis.com", "accounts.google.com",
                "optimizationguide-pa.googleapis.com", "safebrowsingohttpgateway.googleapis.com"}


def sample(folder):
    """Documents of every kind that the page knows, with a layer name that tries to be markup."""
    layers, errors = [], []
    for block in range(8):
        for i, name in enumerate(("self_attn.q_proj", "self_attn.o_proj", "mlp.up_proj", "mlp.down_proj")):
            full = f"model.layers.{block}.{name}"
            size = 663552 if i < 2 else 1769472
            layers.append({"name": full, "class": "Linear4bit", "quantized": True, "bytes_before": size,
                           "bytes_after": size * 9 // 32})
            rtn = 0.01 * (1 + 0.3 * math.sin(block + i))
            errors.append({"name": full, "bits": 4, "group_size": 64, "loss": rtn * 40, "rtn_error": rtn, "error": rtn * 0.6,
                           "seconds": 0.2, "bytes_before": size, "bytes_after": size * 9 // 32})
    layers.append({"name": "<img src=http://198.51.100.7/x.png>", "class": "Linear", "quantized": False, "bytes_before": 1000,
                   "bytes_after": 1000})
    documents = {
        "load.json": {"schema": "quanthost.load", "schema_version": 1, "model": "sample", "architecture": "LlamaForCausalLM",
                      "method": "bitsandbytes_4bit", "dtype": "bfloat16", "seconds": 0.34, "bytes_read": 269e6, "model_bytes": 112e6,
                      "peak_rss_bytes": 334e6, "layers": layers},
        "bench.json": {"schema": "quanthost.bench", "schema_version": 1, "model": "sample", "threads": 2, "repeat": 3,
                       "prompt_tokens": 512, "new_tokens": 128, "results": [
                           {"method": m, "load_seconds": {"median": 0.3}, "prefill_tokens_per_second": {"median": p},
                            "decode_tokens_per_second": {"median": d}, "model_bytes": b, "peak_rss_bytes": 3 * b, "layers": []}
                           for m, p, d, b in (("none", 1700.0, 42.0, 269e6), ("bitsandbytes_4bit", 1300.0, 49.0, 112e6))]},
        "gptq.json": {"schema": "quanthost.gptq-report/1", "layers": errors},
        "trace.json": {"traceEvents": [
            {"ph": "X", "cat": "stage", "name": name, "ts": begin, "dur": length, "pid": 1, "tid": 1}
            for name, begin, length in (("decide", 0, 41e3), ("process_before_load", 41e3, 9e3), ("read", 50e3, 260e3),
                                        ("process_after_load", 310e3, 22e3))] + [
            {"ph": "C", "name": "memory", "ts": 3e3 * i, "pid": 1,
             "args": {"rss_bytes": 180e6 + 150e6 * (1 - math.exp(-i / 30)) + 4e6 * math.sin(i)}} for i in range(110)]}}
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(document))
    return [str(folder / name) for name in documents]


class SilentProxy:
    """Counts connections and closes them."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.asked = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            connection, _ = self.listener.accept()
            connection.settimeout(5)
            try:
                self.asked.append(connection.recv(4096).decode("latin-1").split("\r\n")[0])
            except OSError:
                self.asked.append("?")
            connection.close()


def draw(browser, page, picture, size, extra, folder):
    """Draws the page; returns what was asked of the proxy."""
    proxy = SilentProxy()
    command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
               "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
               "--disable-default-apps", "--disable-extensions", "--metrics-recording-only", "--disable-domain-reliability",
               "--disable-features=OptimizationHints,MediaRouter,Translate", f"--proxy-server=127.0.0.1:{proxy.port}",
               "--proxy-bypass-list=<-loopback>", f"--user-data-dir={folder}/profile", f"--screenshot={picture}",
               f"--window-size={size[0]},{size[1]}", *extra, page.as_uri()]
    environment = os.environ | {"HOME": str(folder), "DBUS_SESSION_BUS_ADDRESS": "disabled:"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180)
    if not picture.exists():
        raise AssertionError(f"no picture of {page}:\n{done.stderr[-2000:]}")
    return {line.split(" ")[1] if " " in line else line for line in proxy.asked}


def host_of(url):
    return url.split("://")[-1].split("/")[0].split(":")[0]


def first_rows(picture, count):
    """(rows of bytes, bytes a pixel) of a PNG without interlacing, from the top."""
    data = picture.read_bytes()
    at, packed = 8, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        chunk = data[at + 8:at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", chunk[:10])
        if kind == b"IDAT":
            packed += chunk
        at += length + 12
    step = {2: 3, 6: 4}[colour]
    raw, rows, before = zlib.decompress(packed), [], bytearray(width * step)
    for y in range(min(count, height)):
        kind, line = raw[y * (width * step + 1)], bytearray(raw[y * (width * step + 1) + 1:(y + 1) * (width * step + 1)])
        for i in range(len(line) if kind else 0):
            left, up = line[i - step] if i >= step else 0, before[i]
            corner = before[i - step] if i >= step else 0
            nearest = min((left, up, corner), key=lambda v: (abs(left + up - corner - v), (left, up, corner).index(v)))
            line[i] = (line[i] + (0, left, up, (left + up) // 2, nearest)[kind]) & 255
        rows.append(line)
        before = line
    return rows, step


def ground(picture):
    """The colour of the page's corner, as one brightness of 0 to 255."""
    rows, step = first_rows(picture, 3)
    return sum(rows[2][2 * step:2 * step + 3]) / 3


def check(condition, sentence):
    if not condition:
        raise AssertionError(sentence)
    print("ok:", sentence)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=SOURCE / "build")
    parser.add_argument("--keep", type=pathlib.Path)
    arguments = parser.parse_args()
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory(prefix="quanthost-report-test-") as name:
        folder = pathlib.Path(name)
        page = folder / "report.html"
        subprocess.run([arguments.build / "bin/quanthost", "report", *sample(folder), "-o", str(page), "--title", "Sample"],
                       check=True, env=os.environ | {"HOME": str(folder)})
        text = page.read_text(encoding="utf-8")
        check("<img" not in text, "a name that tries to be markup is text")
        check("<script" not in text and "http://" not in text.replace("src=http://198.51", ""), "the page has no script and no address")
        cells, labelled = text.count("<td"), text.count('<td data-label="')
        check(cells == labelled > 100, "every figure of a table carries its column's name, for narrow screens")
        if not browser:
            print("skipped: no chromium here (scripts/setup --interop installs it)")
            return 77
        for kind, (width, height, extra) in SIZES.items():
            if kind == "narrow":  # a phone's width, which no window of Chromium has
                frame = folder / "narrow.html"
                frame.write_text(f'<!doctype html><body style="margin:0"><iframe src="{page.as_uri()}" width="390" height="2900" '
                                 'style="border:0"></iframe>')
            asked = draw(browser, frame if kind == "narrow" else page, folder / f"{kind}.png", (width, height), extra, folder)
            foreign = {url for url in asked if host_of(url) not in BROWSERS_OWN}
            check(not foreign, f"{kind}: no request leaves the page {foreign or ''}")
        check(ground(folder / "light.png") > 200, "light: the ground is light")
        check(ground(folder / "dark.png") < 60, "dark: the ground is dark")
        # The proof that a request would have been noticed.
        bad = folder / "bad.html"
        bad.write_text('<!doctype html><img src="http://198.51.100.7/picture.png">')
        check("http://198.51.100.7/picture.png" in draw(browser, bad, folder / "bad.png", (400, 300), [], folder), "a page that asks for a picture is noticed")
        if arguments.keep:
            arguments.keep.mkdir(parents=True, exist_ok=True)
            for path in [page, *folder.glob("*.png")]:
                shutil.copy(path, arguments.keep)
    return 0


if __name__ == "__main__":
    sys.exit(main())
