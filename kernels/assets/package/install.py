"""A bundle of the course -> a folder in which it runs, without a network: python3 BUNDLE FOLDER

Nothing is written before the compiler, Python and the disk are known to do; the folder appears whole or not at all.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib


def fail(what, fix):
    sys.exit(f"error: {what}\nfix:   {fix}")


def compiler():
    """What the rustc on PATH says of itself."""
    try:
        text = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return {}
    return dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)


def check(note, folder):
    """The machine, before anything is written."""
    wanted, found = note["compiler"], compiler()
    toolchain = f"rustup toolchain install {wanted['version']} && rustup default {wanted['version']}"
    if not found:
        fail("there is no rustc on PATH", toolchain)
    if found.get("host") != wanted["host"]:
        fail(f"the bundle is for {wanted['host']}, and this machine is {found.get('host')}", "cargo lab bundle FILE, on a machine like this")
    if found.get("commit-hash") != wanted["commit"]:
        fail(
            f"the bundle was built by rustc {wanted['version']} ({wanted['commit'][:9]}), and this is "
            f"{found.get('release')} ({found.get('commit-hash', 'unknown')[:9]}): libraries of one are of no use to the other",
            toolchain,
        )
    if not shutil.which("cc"):
        fail("there is no C compiler on PATH, and Rust links with it", "sudo apt install build-essential")
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if python != note["python"]:
        fail(f"the bundle has JupyterLab for Python {note['python']}, and this is {python}", f"python{note['python']} BUNDLE FOLDER")
    if os.path.lexists(folder) and (not os.path.isdir(folder) or os.listdir(folder)):
        fail(f"{folder} is there already, and stays as it is", "name another folder behind the bundle")
    parent = os.path.dirname(folder)
    os.makedirs(parent, exist_ok=True)
    # JupyterLab is unpacked from its packages, to five times their size.
    needed = sum(part["size"] * (6 if part["name"].endswith(".whl") else 1) for part in note["parts"])
    free = shutil.disk_usage(parent).free
    if free < needed * 1.1:
        fail(f"the disk of {parent} has {free / 1e9:.1f} GB free, and the course needs {needed * 1.1 / 1e9:.1f} GB", "df -h, then name another folder")


def cache():
    """The folder of what a user fetches once, as the program finds it."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.environ.get("FINETUNING_CACHE") or os.path.join(home, "finetuning")


def unpack(archive, parts, folder):
    """All parts, each compared with its checksum."""
    total, done, shown = sum(part["size"] for part in parts), 0, -1
    for part in parts:
        name = part["name"]
        if name.startswith("/") or ".." in name.split("/"):
            fail(f"the bundle holds the path {name}", "fetch the bundle again")
        path = os.path.join(folder, *name.split("/"))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        digest = hashlib.sha256()
        with archive.open(name) as source, open(path, "wb") as target:
            while piece := source.read(1 << 20):
                digest.update(piece)
                target.write(piece)
                done += len(piece)
        if digest.hexdigest() != part["sha256"]:
            fail(f"{name} is damaged (another checksum)", "copy the bundle again")
        os.chmod(path, 0o755 if archive.getinfo(name).external_attr >> 16 & 0o100 else 0o644)
        if done * 100 // max(total, 1) != shown and sys.stderr.isatty():
            shown = done * 100 // max(total, 1)
            print(f"\r... {shown:3} % of {total / 1e6:.0f} MB ", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print(f"\r{'':40}\r", end="", file=sys.stderr)


def models(source):
    """Moves the models into the user's cache, where none is yet."""
    for name in sorted(os.listdir(source)) if os.path.isdir(source) else []:
        target = os.path.join(cache(), "models", name)
        os.makedirs(target, exist_ok=True)
        for file in os.listdir(os.path.join(source, name)):
            if not os.path.exists(os.path.join(target, file)):
                shutil.move(os.path.join(source, name, file), os.path.join(target, file))


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit("python3 BUNDLE FOLDER    unpack the course into a new folder and set it up; no network is needed")
    start, folder = time.time(), os.path.abspath(sys.argv[1])
    with zipfile.ZipFile(sys.argv[0]) as archive:
        try:
            note = json.loads(archive.read("bundle.json"))
        except (KeyError, zipfile.BadZipFile, ValueError):
            fail("the bundle is damaged", "copy the bundle again")
        check(note, folder)
        parts = [part for part in note["parts"] if part["name"] != "__main__.py"]
        with tempfile.TemporaryDirectory(prefix=".new-", dir=os.path.dirname(folder)) as fresh:
            try:
                unpack(archive, parts, fresh)
                models(os.path.join(fresh, "models"))
            except (OSError, zipfile.BadZipFile, zlib.error) as error:
                fail(f"the bundle could not be unpacked: {error}", "df -h, and copy the bundle again")
            if os.path.isdir(folder):
                os.rmdir(folder)
            os.rename(os.path.join(fresh, "tree"), folder)
    print(f"ok  unpacked and compared: {len(parts)} parts  {time.time() - start:.1f} s", flush=True)
    lab = os.path.join(folder, "target", "debug", "lab")
    environment = {name: value for name, value in os.environ.items() if name != "FINETUNING_ROOT"}
    if subprocess.run([lab, "setup"], cwd=folder, env=environment).returncode:
        fail("the course is unpacked, but not set up", f"cd {folder} && ./lab setup")
    print(f"ready in {time.time() - start:.0f} s; to open the lessons: cd {folder} && ./lab   (in place of every `cargo lab`: ./lab)")


main()
