"""A program for a pod's init container: are the files of a model's folder those of its digest?

It runs in the image of the server, where this package is not installed, with Python's standard
library alone: `python3 -c PROGRAM FOLDER DIGEST`. `FILES.json` says the SHA-256 of every file, and
the model's digest is that of this list (`road/identity.digest_json`), so nobody can change both.
"""

WEIGHTS_CHECK = """
import hashlib, json, pathlib, sys
folder, wanted = pathlib.Path(sys.argv[1]), sys.argv[2]
listed = json.loads((folder / "FILES.json").read_text(encoding="utf-8"))
text = json.dumps(listed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
found = hashlib.sha256(text.encode()).hexdigest()[:len(wanted)]
if found != wanted:
    sys.exit(f"FILES.json is of model {found}, not of {wanted}")
for name, digest in listed.items():
    hashed = hashlib.sha256()
    with (folder / name).open("rb") as file:
        while block := file.read(1 << 20):
            hashed.update(block)
    if hashed.hexdigest() != digest:
        sys.exit(f"{name} is not what FILES.json says")
others = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
if unknown := others - set(listed) - {"FILES.json"}:
    sys.exit(f"files that nobody listed: {sorted(unknown)[:5]}")
print(f"{len(listed)} files of model {wanted}")
"""
