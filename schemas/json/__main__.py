"""SHELL: write the JSON Schema files: `python -m schemas.json`."""

from pathlib import Path

from schemas.json import documents


def main() -> None:
    """Replace the schema files beside this module; those of records that are gone are removed."""
    folder = Path(__file__).parent
    current = documents()
    for stale in {path.name for path in folder.glob("*.schema.json")} - current.keys():
        (folder / stale).unlink()
    for name, text in current.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
