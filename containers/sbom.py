"""Write what is installed here, with versions and licences, as a CycloneDX bill of materials.

`python -m containers.sbom sbom.json`, in the image or in the environment that it is built from. The
tool is cyclonedx-bom, which reads the metadata of wheels. Packages of the system are in no bill of
Python's: the CPU image installs none beyond its base.
"""

import subprocess
import sys


def main(path: str) -> int:
    command = [sys.executable, "-m", "cyclonedx_py", "environment"]
    command += ["--output-reproducible", "--of", "JSON", "-o", path, sys.prefix]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
