"""Holds files against the schema of who reads them: `validate.py sbom|kubernetes|compose FILE ...`, for
tests/installed.rs.

The schemas come with the packages of scripts/python-programs.sh; nothing is fetched. Exit 1 with the complaints.
"""

import json
import pathlib
import sys

import check_jsonschema
import cyclonedx.schema
import jsonschema_rs
import kubernetes_validate
import yaml

KUBERNETES = "1.31"


def wrong(validator, document):
    return [f"{error.instance_path}: {error.message}" for error in validator.iter_errors(document)]


def sbom(path):
    folder = pathlib.Path(cyclonedx.schema.__file__).parent / "_res"
    names = ("bom-1.6", "spdx", "jsf-0.82", "cryptography-defs")
    schemas = {name: json.loads((folder / f"{name}.SNAPSHOT.schema.json").read_text()) for name in names}
    # The bill's schema refers to the others by names beside its own.
    place = "http://cyclonedx.org/schema/"
    others = jsonschema_rs.Registry([(f"{place}{name}.SNAPSHOT.schema.json", schemas[name]) for name in names])
    validator = jsonschema_rs.validator_for(schemas["bom-1.6"], registry=others, validate_formats=True)
    return wrong(validator, json.loads(path.read_text()))


def compose(path):
    folder = pathlib.Path(check_jsonschema.__file__).parent / "builtin_schemas" / "vendor"
    validator = jsonschema_rs.validator_for(json.loads((folder / "compose-spec.json").read_text()))
    return wrong(validator, yaml.safe_load(path.read_text()))


def kubernetes(path):
    found = []
    for document in filter(None, yaml.safe_load_all(path.read_text())):
        # What an operator defines has no schema here.
        if "monitoring.coreos.com" in document["apiVersion"] or document["apiVersion"].startswith("kustomize.config"):
            continue
        try:
            kubernetes_validate.validate(document, KUBERNETES, strict=True)
        except kubernetes_validate.ValidationError as error:
            found.append(f"{document['kind']}: {'.'.join(map(str, error.path))}: {error.message}")
    return found


def main():
    check = {"sbom": sbom, "compose": compose, "kubernetes": kubernetes}[sys.argv[1]]
    complaints = [f"{name}: {line}" for name in sys.argv[2:] for line in check(pathlib.Path(name))]
    sys.exit("\n".join(complaints[:20]) or None)


if __name__ == "__main__":
    main()
