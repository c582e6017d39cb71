"""A target with two inputs and two outputs; its certificate is written, read back and checked.

Run it with `python examples/vector_target.py [FILE]`; without a file name it works in a temporary folder.
"""

import sys
import tempfile
from pathlib import Path

import attncert

TARGET = "[sin(3*x0)*x1, abs(x0 - x1)]"


def main(path: Path) -> None:
    """Certify the target, write the certificate to the path, and check what was written."""
    result = attncert.certify(TARGET, domain="[-1,1]x[0,2]", tolerance="0.2")
    print(f"{result.verdict}: every entry within {result.error_upper} on [-1,1]x[0,2], {result.tokens} tokens")

    # `.gz` compresses; the file is written in one step, and an existing one is only replaced if that is said.
    result.certificate.save(path, overwrite=True)

    certificate = attncert.Certificate.load(path)
    finding = certificate.check()
    print(f"{path.name}: {finding.verdict}, statement {certificate.statement_sha256[:16]}...")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(Path(folder) / "vector.json.gz")
