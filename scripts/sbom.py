"""The bill of materials and the licence report: `cargo metadata` on standard input; Cargo.lock, deny.toml and the
folder to write into as arguments. Called by sbom.sh; needs Python's standard library alone.

Promises: every package of Cargo.lock is a component, with the checksum that Cargo.lock has; the same input gives the
same bytes. Exit 1 where a licence is missing, cannot be read, or is not in deny.toml's list.
Never: asks the network, guesses a licence.
"""

import hashlib
import json
import pathlib
import re
import sys
import uuid

CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"
# Files of a crate that must go along with its binary.
TEXTS = re.compile(r"^(licen[cs]e|copying|notice|unlicense|copyright)", re.IGNORECASE)


def lock_packages(text):
    """Name, version, source and checksum of each `[[package]]` of Cargo.lock, which cargo writes one key a line."""
    packages = []
    for block in text.split("[[package]]")[1:]:
        packages.append(dict(re.findall(r'^(name|version|source|checksum) = "([^"]*)"$', block, re.MULTILINE)))
    return packages


def allowed_licences(text):
    """The list `allow` of the section `[licenses]` of deny.toml."""
    section = text.split("[licenses]", 1)[1].split("\n[", 1)[0]
    return set(re.findall(r'"([^"]+)"', re.search(r"^allow = \[(.*?)\]", section, re.MULTILINE | re.DOTALL)[1]))


def spdx(expression):
    """Cargo's older way of writing OR, as SPDX has it."""
    return re.sub(r"\s*/\s*", " OR ", expression)


def satisfied(expression, allowed):
    """Whether the licence expression can be satisfied with the allowed ones. AND binds closer than OR."""
    tokens = re.findall(r"\(|\)|[A-Za-z0-9.+-]+", expression)
    place = 0

    def take(word):
        nonlocal place
        if place < len(tokens) and tokens[place] == word:
            place += 1
            return True
        return False

    def one():
        nonlocal place
        if take("("):
            inside = either()
            if not take(")"):
                raise ValueError(f"{expression!r}: a bracket is not closed")
            return inside
        if place == len(tokens) or tokens[place] in {")", "AND", "OR", "WITH"}:
            raise ValueError(f"{expression!r}: expected a licence at word {place + 1}")
        name = tokens[place]
        place += 1
        if take("WITH"):
            name, place = f"{name} WITH {tokens[place]}", place + 1
        return name in allowed

    def both():
        answer = one()
        while take("AND"):
            answer = one() and answer
        return answer

    def either():
        answer = both()
        while take("OR"):
            answer = both() or answer
        return answer

    answer = either()
    if place != len(tokens):
        raise ValueError(f"{expression!r}: {tokens[place]!r} is one word too many")
    return answer


def reference(name, version, source):
    return f"pkg:cargo/{name}@{version}" + ("" if source == CRATES_IO else "?source=local")


def linked(resolve):
    """What the binary is linked from, on any platform: reached from the root without dev- and build-dependencies."""
    nodes = {node["id"]: node for node in resolve["nodes"]}
    found, open_ends = set(), [resolve["root"]]
    while open_ends:
        here = open_ends.pop()
        if here not in found:
            found.add(here)
            deps = nodes[here]["deps"]
            open_ends += [dep["pkg"] for dep in deps if any(kind["kind"] is None for kind in dep["dep_kinds"])]
    return found


def component(package, locked, required):
    """One package as CycloneDX has it. What comes from here has no address and no checksum."""
    made = {
        "type": "library",
        "bom-ref": reference(package["name"], package["version"], package["source"]),
        "name": package["name"],
        "version": package["version"],
        # Excluded is what only builds or tests it.
        "scope": "required" if required else "excluded",
        "licenses": [{"expression": spdx(package["license"])}],
    }
    if package.get("description"):
        made["description"] = " ".join(package["description"].split())
    if package["source"] == CRATES_IO:
        made["purl"] = f"pkg:cargo/{package['name']}@{package['version']}"
        made["hashes"] = [{"alg": "SHA-256", "content": locked["checksum"]}]
    if package.get("repository"):
        made["externalReferences"] = [{"type": "vcs", "url": package["repository"].strip()}]
    return made


def bill(metadata, locked):
    """The whole bill. Its serial number is made from Cargo.lock, so that the same one gives the same bill."""
    packages = {package["id"]: package for package in metadata["packages"]}
    root = metadata["resolve"]["root"]
    refs = {key: reference(p["name"], p["version"], p["source"]) for key, p in packages.items()}
    inside = linked(metadata["resolve"])
    parts = {
        key: component(p, locked[(p["name"], p["version"], p["source"])], key in inside) for key, p in packages.items()
    }
    parts[root]["type"] = "application"
    nodes = metadata["resolve"]["nodes"]
    edges = {refs[node["id"]]: sorted({refs[other] for other in node["dependencies"]}) for node in nodes}
    digest = hashlib.sha256(json.dumps(sorted(refs.values())).encode()).hexdigest()
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.UUID(digest[:32], version=4)}",
        "version": 1,
        "metadata": {
            "component": parts[root],
            "lifecycles": [{"phase": "pre-build"}],
            "tools": {"components": [{"type": "application", "name": "scripts/sbom.sh"}]},
        },
        "components": sorted((part for key, part in parts.items() if key != root), key=lambda part: part["bom-ref"]),
        "dependencies": [{"ref": ref, "dependsOn": edges[ref]} for ref in sorted(edges)],
    }


def report(packages):
    """Which crate has which licence, and each text once, with the crates that it came with."""
    by_licence, texts = {}, {}
    for package in packages:
        name = f"{package['name']} {package['version']}"
        by_licence.setdefault(spdx(package["license"]), []).append(name)
        folder = pathlib.Path(package["manifest_path"]).parent
        for path in sorted(folder.iterdir()):
            if path.is_file() and TEXTS.match(path.name) and path.suffix != ".rs":
                text = path.read_text(encoding="utf-8", errors="replace").strip()
                texts.setdefault(text, []).append(name)
    lines = ["Licences of gatewatch and of every crate of Cargo.lock: linked into it, building it or testing it", ""]
    for licence, names in sorted(by_licence.items()):
        lines += [f"{licence} ({len(names)})", *(f"    {name}" for name in sorted(names)), ""]
    for text, names in sorted(texts.items(), key=lambda item: (sorted(item[1])[0], item[0])):
        lines += ["=" * 100, *(f"    {name}" for name in sorted(set(names))), "", text, ""]
    return "\n".join(lines) + "\n"


def complaints(packages, allowed):
    for package in packages:
        name = f"{package['name']} {package['version']}"
        if not package["license"]:
            yield f"{name}: names no licence"
            continue
        try:
            if not satisfied(spdx(package["license"]), allowed):
                yield f"{name}: {package['license']}: not in the list `allow` of deny.toml"
        except ValueError as error:
            yield f"{name}: {error}"


def main():
    lock, deny, folder = (pathlib.Path(argument) for argument in sys.argv[1:4])
    metadata = json.load(sys.stdin)
    packages = sorted(metadata["packages"], key=lambda package: package["id"])
    locked = {(p["name"], p["version"], p.get("source")): p for p in lock_packages(lock.read_text(encoding="utf-8"))}
    present = {(p["name"], p["version"], p["source"]) for p in packages}
    if present != set(locked):
        sys.exit(f"sbom: Cargo.lock and cargo disagree about {sorted(map(str, present ^ set(locked)))}")
    wrong = list(complaints(packages, allowed_licences(deny.read_text(encoding="utf-8"))))
    if wrong:
        sys.exit("sbom: " + "\nsbom: ".join(wrong))
    text = json.dumps(bill(metadata, locked), indent=1, ensure_ascii=False)
    (folder / "sbom.cdx.json").write_text(text + "\n", encoding="utf-8")
    (folder / "licences.txt").write_text(report(packages), encoding="utf-8")
    written = f"{folder}/sbom.cdx.json, {folder}/licences.txt"
    print(f"{len(packages)} packages, every licence allowed: {written}", file=sys.stderr)


if __name__ == "__main__":
    main()
